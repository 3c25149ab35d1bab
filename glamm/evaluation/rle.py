"""Run-length masks of files that nobody checked before."""

from typing import Any, cast

from pycocotools import mask as coco

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.geometry.masks import check_runs, run_lengths
from glamm.structures.sample import Mask


def read_rle(value: object) -> tuple[Mask, str | None]:
    """Read a mask; runs that stop short of its size are filled up with background.

    Returns:
        The mask and, where it was filled up, what was wrong.

    Raises:
        DataError: No mask at all: no size, no counts, not a run-length code, or more runs than pixels.

    Upstream: pycocotools decodes runs that are too short without a word, as background. Kept, and named.
    """
    record = json_fields.mapping(value, "segmentation")
    extent = record.get("size")
    if not isinstance(extent, list) or len(cast("list[Any]", extent)) != 2:
        raise DataError("needs a size [height, width]", field="segmentation")
    size = json_fields.size(extent[0], extent[1], "segmentation")
    counts = record.get("counts")
    if isinstance(counts, list):
        return _compressed(cast("list[Any]", counts), size)
    if not isinstance(counts, str):
        raise DataError("needs counts", field="segmentation")
    mask = Mask(size, counts.encode("utf-8", "replace"))
    try:
        check_runs(mask)
    except ValueError as error:
        return _fill_up(mask, str(error))
    return mask, None


def _fill_up(mask: Mask, fault: str) -> tuple[Mask, str]:
    try:
        runs = run_lengths(mask.counts)
    except ValueError as error:
        raise DataError(str(error), field="segmentation") from error
    if sum(runs) > mask.size[0] * mask.size[1]:
        raise DataError(fault, field="segmentation")
    return _compressed([int(run) for run in runs], mask.size)[0], fault


def _compressed(runs: list[Any], size: tuple[int, int]) -> tuple[Mask, str | None]:
    """Compress plain runs, a missing rest being background."""
    if any(isinstance(run, bool) or not isinstance(run, int) or run < 0 for run in runs):
        raise DataError("has runs that are no whole numbers", field="segmentation")
    total, needed = sum(runs), size[0] * size[1]
    fault = None
    if total > needed:
        raise DataError(f"has runs of {total} pixels for a size of {needed}", field="segmentation")
    if total < needed:
        fault = f"mask runs add up to {total} pixels, the size {size[0]} x {size[1]} needs {needed}"
        rest = needed - total
        runs = [*runs, rest] if len(runs) % 2 == 0 else [*runs[:-1], runs[-1] + rest]
    code = coco.frPyObjects(cast("Any", {"size": list(size), "counts": runs}), *size)
    return Mask(size, cast("dict[str, bytes]", code)["counts"]), fault
