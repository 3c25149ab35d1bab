"""References to the images that annotations name, with the size in which the annotations are drawn."""

import base64
from collections.abc import Sequence
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import resolve_image
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Integer, Layout
from glamm.errors import DataError
from glamm.geometry.image_files import ImageHeader, read_header
from glamm.structures.sample import Frame, ImageRef
from glamm.typing import Size


class SizedImage(Layout):
    """The entry of an image that may state its size in pixels."""

    height: Integer | None = None
    width: Integer | None = None

    @property
    def size(self) -> Size | None:
        """(height, width), or None where the entry states neither.

        Raises:
            DataError: Only one is stated, or they are no size in pixels.
        """
        if self.height is None and self.width is None:
            return None
        return json_fields.size(self.height, self.width, "height, width")


def find_image(
    root: Path,
    folders: Sequence[str],
    name: str,
    *,
    size: Size | None = None,
    frame: Frame,
    by_end: bool = False,
) -> ImageRef:
    """Find an image and read its header; its pixels are not decoded.

    Args:
        root: Folder of the data set.
        folders: Relative folders that may hold the image, in the order in which they are tried.
        name: Relative path from the annotation; not trusted.
        size: (height, width) that the annotation states; that of the image in the frame unless given.
        frame: The pixels on which the annotation is drawn; without a size, `BY_SIZE` means as stored.
        by_end: As in `resolve_image`.

    Raises:
        DataError: There is no such image below the root, it cannot be read, or in its frame it has another size.
    """
    return refer_to(resolve_image(root, folders, name, by_end=by_end), size=size, frame=frame)


def refer_to(path: Path, *, size: Size | None, frame: Frame) -> ImageRef:
    """Read the header of an image that was found.

    Args:
        path: The image.
        size: As in `find_image`.
        frame: As in `find_image`.

    Raises:
        DataError: It cannot be read, or in its frame it has another size.
    """
    header = image_header(path)
    if size is None:
        size = header.upright_size if frame is Frame.TURNED else header.size
    if not header.has_size(size, frame):
        raise DataError(
            f"are stated as {size[0]} x {size[1]} (height x width), the image is {header.size[0]} x {header.size[1]}",
            field="height, width",
        )
    return ImageRef(key=path.name, size=size, frame=frame, path=str(path))


def image_header(path: Path) -> ImageHeader:
    """Read the header of an image.

    Raises:
        DataError: The file is no image that can be read, or it states too many pixels.
    """
    try:
        return read_header(path)
    except (ValueError, OSError) as error:
        raise DataError(str(error), field="file_name") from error


def read_encoded(image: ImageRef) -> bytes:
    """The encoded image of a data set: a file's content, or what a label file holds.

    Raises:
        OSError: The file cannot be read.
        DataError: It is a label file that holds no image.
    """
    path = Path(image.path or "")
    if path.suffix.lower() != ".json":
        return path.read_bytes()
    content = json_fields.mapping(read_json(path), "")
    return embedded_image(json_fields.text(content.get("imageData"), "imageData"))


def embedded_image(text: str) -> bytes:
    """Decode the `imageData` of a label file: an encoded image in base64.

    Raises:
        DataError: It is no base64.
    """
    try:
        return base64.b64decode(text)
    except ValueError as error:
        raise DataError(f"is no base64 ({error})", field="imageData") from error
