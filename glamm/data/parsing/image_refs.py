"""The image that an annotation means, in the frame that the annotation uses."""

from collections.abc import Sequence
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import resolve_image
from glamm.errors import DataError
from glamm.geometry.image_files import ImageHeader, read_header
from glamm.structures.sample import ImageRef
from glamm.typing import Size


def find_image(
    root: Path, folders: Sequence[str], name: str, *, size: Size | None = None
) -> ImageRef:
    """Find an image and look at its header.

    Args:
        root: Of the data set.
        folders: Relative folders where it may be, tried in order.
        name: From the annotation: not trusted.
        size: (height, width) that the annotation states; that of the stored pixels unless given.

    Raises:
        DataError: There is no such image below the root, it cannot be read, or it has another size.
    """
    path = resolve_image(root, folders, name)
    header = header_of(path)
    if size is not None and not header.has_frame(size):
        raise DataError(
            f"says {size[0]} x {size[1]} (height x width), the image is {header.size[0]} x {header.size[1]}",
            field="height, width",
        )
    return ImageRef(key=path.name, size=size or header.size, path=str(path))


def header_of(path: Path) -> ImageHeader:
    """Look at an image's header.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return read_header(path)
    except (ValueError, OSError) as error:
        raise DataError(str(error), field="file_name") from error


def stated_size(record: json_fields.Json) -> Size | None:
    """(height, width) of a COCO image's record, or None where it has neither.

    Raises:
        DataError: They are no sizes.
    """
    if record.get("height") is None and record.get("width") is None:
        return None
    return json_fields.size(record.get("height"), record.get("width"), "height, width")
