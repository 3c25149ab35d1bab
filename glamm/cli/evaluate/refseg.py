"""`glamm evaluate refseg`: gIoU and cIoU of a model."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from glamm.allocator import tune_allocator
from glamm.cli.progress import progress_bar
from glamm.config.dtype import DTypeName


def refseg(
    *,
    model: Path,
    shards: Path,
    split: str = "val",
    device: str = "auto",
    dtype: DTypeName | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Referring segmentation: gIoU and cIoU of one mask an expression.

    Args:
        model: A model folder.
        shards: Prepared data with referring expressions.
        split: Of the shards.
        device: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda or cuda:1.
        dtype: Type in which the weights are held and used; that of the model folder by default.
        json_file: File for the numbers.
    """
    tune_allocator()  # before torch makes its first tensor
    from glamm.evaluation.segmentation import evaluate_referring_segmentation  # noqa: PLC0415

    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)  # an impossible path is reported first
    with progress_bar() as progress:
        report = evaluate_referring_segmentation(
            model, shards, split, device=device, dtype=dtype, progress=progress
        )
    table = Table(f"{split}, times 100", "gIoU", "cIoU")
    for name, scores in report.modes.items():
        table.add_row(name, f"{100 * scores.giou:.1f}", f"{100 * scores.ciou:.1f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"{report.num_expressions} expressions of {report.num_images} images")
    if report.num_left_out:
        console.print(f"{report.num_left_out} expressions are too long for the model and left out")
    if json_file is not None:
        report.save(json_file)
        console.print(str(json_file), markup=False)
