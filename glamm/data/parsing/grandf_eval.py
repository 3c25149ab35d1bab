"""The files of GranD-f val and test: captions with labels in one, masks in another, linked by image ids.

Both files are in COCO's form. The entries are models that are validated one at a time: the reader for training leaves
an invalid one out, the evaluator refuses the file.

Source: spec of GranD-f evaluation; the release's `eval/gcg`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field, PlainValidator

from glamm.data.parsing import json_fields
from glamm.data.parsing.json_stream import read_json
from glamm.data.parsing.layout import Flag, Integer, Items, Layout, Text
from glamm.errors import DataError
from glamm.typing import Size

ANNOTATION_FOLDER = "GranDf/annotations/val_test"
"""Holds the files of both splits, below a data root."""

IMAGE_FOLDERS = ("GranDf_HA_images/val_test", "GranDf/GranDf_HA_images/val_test")
"""May hold the images, below a data root; the first that has an image is used."""


def _check_image_id(value: object) -> int | str:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be text or a whole number")  # noqa: TRY004 - pydantic reports it as a field's fault
    return value


_ImageId = Annotated[int | str, PlainValidator(_check_image_id)]


class EvalImage(Layout):
    """An entry of `images`; the two files need not state the same fields."""

    id: _ImageId = Field(None, validate_default=True)
    file_name: object = None
    height: object = None
    width: object = None

    @property
    def size(self) -> Size | None:
        """(height, width) in pixels, or None where one of them is missing.

        Raises:
            DataError: They are no size.
        """
        if self.height is None or self.width is None:
            return None
        return json_fields.size(self.height, self.width, "height, width")


class OfEvalImage(Layout):
    """An entry of `annotations` in either file."""

    image_id: _ImageId = Field(None, validate_default=True)


class EvalCaption(OfEvalImage):
    """An entry of `annotations` in the file of captions: label i belongs to mask i of the image."""

    caption: Text
    labels: Items[Text] = ()


class EvalMask(OfEvalImage):
    """An entry of `annotations` in the file of masks."""

    id: Integer
    segmentation: object = None
    area: object = None
    category_id: object = 1
    is_crowd: Annotated[Flag, Field(validation_alias="iscrowd")] = False

    @property
    def stated_area(self) -> float | None:
        """Number of pixels as the file states it, or None.

        Raises:
            DataError: It is no number.
        """
        return json_fields.optional_number(self.area, "area")


def eval_file_names(split: str) -> tuple[str, str]:
    """Names of the caption file and the mask file of val or test."""
    return f"{split}_gcg_coco_caption_gt.json", f"{split}_gcg_coco_mask_gt.json"


def find_eval_files(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The caption file and the mask file of a split; None where there is neither.

    Args:
        folder: Holds the files.
        split: val or test.

    Raises:
        DataError: One of them is missing.
    """
    caption_file, mask_file = (folder / name for name in eval_file_names(split))
    missing = [path for path in (caption_file, mask_file) if not path.is_file()]
    if len(missing) == 1:
        raise DataError("is missing: captions and masks come as a pair", file=missing[0])
    return None if missing else (caption_file, mask_file)


def read_eval_file(path: Path) -> json_fields.Json:
    """Read one of the two files.

    Raises:
        DataError: It is no JSON object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError("must be an object with 'images' and 'annotations'", file=path)
    return cast("json_fields.Json", value)


def eval_entries(content: json_fields.Json, name: str, path: Path) -> Iterator[tuple[str, object]]:
    """The entries of a list, each with its name for messages, such as `annotations[3]`.

    Args:
        content: Of a file.
        name: images or annotations.
        path: Of the file, for errors.

    Raises:
        DataError: It is no list.
    """
    try:
        entries = json_fields.items(content.get(name), name)
    except DataError as error:
        raise DataError(error.reason, file=path, field=name) from error
    for index, entry in enumerate(entries):
        yield f"{name}[{index}]", entry
