"""Run-length masks from prediction and ground truth files, which may be damaged."""

from typing import Any, cast

from glamm.data.parsing import json_fields
from glamm.errors import DataError
from glamm.geometry.masks import check_runs, from_runs, run_lengths
from glamm.structures.sample import Mask


def read_rle(value: object) -> tuple[Mask, str | None]:
    """Read a mask, plain or compressed; runs that cover fewer pixels than its size are completed with background.

    Returns:
        The mask, and what was wrong if it had to be completed.

    Raises:
        DataError: There is no size, there are no counts, the counts are not a run-length code, or they cover more
            pixels than the size.

    Upstream: pycocotools silently decodes runs that are too short as if background followed. Kept, and reported.
    """
    record = json_fields.mapping(value, "segmentation")
    sides = record.get("size")
    if not isinstance(sides, list) or len(cast("list[Any]", sides)) != 2:
        raise DataError("needs a size [height, width]", field="segmentation")
    size = json_fields.size(sides[0], sides[1], "segmentation")
    counts = record.get("counts")
    if isinstance(counts, list):
        return _compressed(cast("list[Any]", counts), size)
    if not isinstance(counts, str):
        raise DataError("needs counts", field="segmentation")
    mask = Mask(size, counts.encode("utf-8", "replace"))
    try:
        check_runs(mask)
    except ValueError as error:
        return _complete(mask, str(error))
    return mask, None


def _complete(mask: Mask, fault: str) -> tuple[Mask, str]:
    try:
        runs = run_lengths(mask.counts)
    except ValueError as error:
        raise DataError(str(error), field="segmentation") from error
    if sum(runs) > mask.size[0] * mask.size[1]:
        raise DataError(fault, field="segmentation")
    return _compressed([int(run) for run in runs], mask.size)[0], fault


def _compressed(runs: list[Any], size: tuple[int, int]) -> tuple[Mask, str | None]:
    """Compress plain runs; missing pixels are background."""
    if any(isinstance(run, bool) or not isinstance(run, int) or run < 0 for run in runs):
        raise DataError("has runs that are not whole numbers of pixels", field="segmentation")
    total, num_pixels = sum(runs), size[0] * size[1]
    fault = None
    if total > num_pixels:
        raise DataError(
            f"has runs of {total} pixels for a size of {num_pixels}", field="segmentation"
        )
    if total < num_pixels:
        fault = (
            f"mask runs add up to {total} pixels, the size {size[0]} x {size[1]} needs {num_pixels}"
        )
        rest = num_pixels - total
        runs = [*runs, rest] if len(runs) % 2 == 0 else [*runs[:-1], runs[-1] + rest]
    return from_runs(runs, size=size), fault
