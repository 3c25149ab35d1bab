"""`glamm evaluate semseg`: gIoU, cIoU and the IoU of each class of a model."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glamm.allocator import tune_allocator
from glamm.cli.progress import progress_bar
from glamm.config.dtype import DTypeName


def semseg(
    *,
    model: Path,
    shards: Path,
    split: str = "val",
    device: str = "auto",
    dtype: DTypeName | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Semantic segmentation: gIoU, cIoU and the IoU of each class.

    Args:
        model: A model folder.
        shards: Prepared data with classes, such as LabelMe, CVAT or COCO files.
        split: Of the shards.
        device: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda or cuda:1.
        dtype: Type in which the weights are held and used; that of the model folder by default.
        json_file: File for the numbers.
    """
    tune_allocator()  # before torch makes its first tensor
    from glamm.evaluation.segmentation import evaluate_semantic_segmentation  # noqa: PLC0415

    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)  # an impossible path is reported first
    with progress_bar() as progress:
        report = evaluate_semantic_segmentation(
            model, shards, split, device=device, dtype=dtype, progress=progress
        )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    classes = Table("class", "IoU")
    for name, iou in report.classes.items():
        classes.add_row(escape(name), f"{100 * iou:.1f}")
    console.print(classes)
    table = Table(f"{split}, times 100", "gIoU", "cIoU", "mIoU")
    values = report.scores.giou, report.scores.ciou, report.miou
    table.add_row("all classes", *(f"{100 * value:.1f}" for value in values))
    console.print(table)
    console.print(f"{report.num_masks} masks of {report.num_images} images")
    if report.num_left_out:
        console.print(f"{report.num_left_out} classes are too long for the model and left out")
    if json_file is not None:
        report.save(json_file)
        console.print(str(json_file))
