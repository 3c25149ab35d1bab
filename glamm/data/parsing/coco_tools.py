"""How the tools that write COCO files treat images that EXIF data turns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

from glamm.data.parsing import json_fields
from glamm.data.parsing.coco_json import CocoFile
from glamm.data.parsing.image_refs import image_header
from glamm.structures.sample import Frame, ImageRef

_LABEL_STUDIO = "label studio"
_BROWSER_TOOLS = ("roboflow", "fiftyone", "cvat", _LABEL_STUDIO)
"""Tools that show the image as a browser does, by the names that they write into `info`."""

_FILES_OF_BROWSER_TOOLS = {
    "_annotations.coco",
    "labels",
    "result",
    "instances_default",
    "person_keypoints_default",
}
"""Names of files that only these tools write, without the suffix."""


def frame_of(path: Path, content: CocoFile) -> Frame:
    """The pixels on which the tool that wrote a file draws.

    Args:
        path: The file.
        content: What it holds.
    """
    is_of_browser_tool = (
        path.stem in _FILES_OF_BROWSER_TOOLS
        or any(_is_named(tool, content) for tool in _BROWSER_TOOLS)
        or any(_is_of_cvat(annotations[0]) for annotations in content.annotations.values())
    )
    return Frame.TURNED if is_of_browser_tool else Frame.BY_SIZE


def as_label_studio_means(
    image: ImageRef, content: CocoFile
) -> tuple[ImageRef, tuple[float, float]]:
    """The image on which an annotation of Label Studio was drawn, and the scale (x, y) that its points need.

    Label Studio shows the image as turned, stores points in percent, and multiplies them on export with the stored width
    and height: where EXIF swaps the two, the points fit neither image, but only need another scale.

    Args:
        image: With the size that the file states.
        content: The file.

    Source: HumanSignal/label-studio issue 6608; `convert_to_coco` of its converter.
    """
    if not _is_named(_LABEL_STUDIO, content):
        return image, (1.0, 1.0)
    header = image_header(Path(image.path or ""))
    if header.size == header.upright_size or image.size != header.size:
        return image, (1.0, 1.0)
    height, width = image.size
    turned = replace(image, size=header.upright_size, frame=Frame.TURNED)
    return turned, (height / width, width / height)


def scaled(annotation: json_fields.Json, scale: tuple[float, float]) -> json_fields.Json:
    """An annotation with other polygons; its box is left to be taken from them.

    Args:
        annotation: As in the file.
        scale: Factors for x and y.
    """
    if scale == (1.0, 1.0):
        return annotation
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        parts = cast("list[object]", segmentation)
        segmentation = [_scaled_polygon(part, scale) for part in parts]
    return annotation | {"segmentation": segmentation, "bbox": None}


def _scaled_polygon(polygon: object, scale: tuple[float, float]) -> object:
    if not isinstance(polygon, list):
        return polygon
    numbers = cast("list[object]", polygon)
    return [
        number * scale[index % 2] if isinstance(number, int | float) else number
        for index, number in enumerate(numbers)
    ]


def _is_named(tool: str, content: CocoFile) -> bool:
    return tool in json.dumps(content.info).lower()


def _is_of_cvat(annotation: json_fields.Json) -> bool:
    attributes = annotation.get("attributes")
    return isinstance(attributes, dict) and "occluded" in attributes
