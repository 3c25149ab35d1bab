"""`glamm data`: read, check and prepare data sets."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from glamm.cli.data_doctor import doctor

app = App(name="data", help="Read, check and prepare data sets.")
app.command(doctor)

_SHOWN_REJECTIONS = 20  # on the terminal; the quarantine file has all


@app.command
def read(
    source: str,
    root: Path,
    *,
    split: str | None = None,
    json: Annotated[Path, Parameter(name="--json")],
) -> None:
    """Read a data set and write what was understood; everything left out is one line on the terminal.

    Args:
        source: Name of the data set's layout, such as grand, refcoco+ or coco; a wrong one lists them all.
        root: Folder that holds it.
        split: One of its splits; all unless given.
        json: File to write.
    """
    import json as codec  # noqa: PLC0415 - keeps `glamm --help` quick

    from rich.console import Console  # noqa: PLC0415

    from glamm.data.inspection.as_read import describe  # noqa: PLC0415
    from glamm.data.preparation.read_checked import read_splits  # noqa: PLC0415
    from glamm.data.readers.registry import get_source  # noqa: PLC0415
    from glamm.data.record import Rejection  # noqa: PLC0415
    from glamm.errors import DataError, RequestError  # noqa: PLC0415

    chosen = get_source(source)
    if split is not None and split not in chosen.splits:
        raise RequestError(f"{source} has no split '{split}'; it has: {', '.join(chosen.splits)}")
    if not root.is_dir():
        raise DataError("is no folder", file=root)
    if not chosen.is_in(root):
        raise DataError(f"holds no data set in the layout {source}", file=root)
    tables, faults = chosen.beside(root)
    found = [*read_splits(chosen, root, split), *faults]
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for item in found:
        if isinstance(item, Rejection):
            console.print(str(item))
    told = describe(chosen, root, found) | tables
    json.write_text(codec.dumps(told, ensure_ascii=False, indent=1), "utf-8", "backslashreplace")
    console.print(f"{len(told['samples'])} records read, {len(told['dropped'])} left out: {json}")
    broken = [item for item in found if isinstance(item, Rejection) and item.is_file]
    if broken:
        raise DataError(
            f"{broken[0].reason}; {len(broken)} file(s) are broken", file=broken[0].file
        )


@app.command
def prepare(
    root: Path,
    out: Path,
    *,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    workers: int | None = None,
) -> None:
    """Check the data sets below a folder and write shards for training.

    A run that was ended goes on where it was; a run over data that changed in part redoes only the shards concerned.

    Args:
        root: Holds data sets in official layouts.
        out: Gets train/, val/, test/, manifest.json and quarantine.jsonl. Replaced as a whole when all is done.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `prepare.key=value`, any number of times.
        workers: Processes that check and write; the shards do not depend on it. All cores unless given.
    """
    import os  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from glamm.config.params import load_params  # noqa: PLC0415
    from glamm.data.preparation.incremental import Block  # noqa: PLC0415
    from glamm.data.preparation.prepare import QUARANTINE  # noqa: PLC0415
    from glamm.data.preparation.prepare import prepare as run  # noqa: PLC0415

    config = load_params(params, set_).prepare
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    columns = (
        TextColumn(
            "{task.completed} images, {task.fields[left_out]} left out, "
            "{task.fields[written]} shards written, {task.fields[kept]} kept"
        ),
        BarColumn(),
        TimeElapsedColumn(),
    )
    left_out, shards = 0, {True: 0, False: 0}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, left_out=0, written=0, kept=0)

        def report(block: Block) -> None:
            nonlocal left_out
            for item in block.rejections[: max(_SHOWN_REJECTIONS - left_out, 0)]:
                progress.console.print(str(item))
            left_out += len(block.rejections)
            shards[block.is_kept] += len(block.part.chunks)
            progress.update(
                task,
                advance=block.part.num_rows,
                left_out=left_out,
                written=shards[False],
                kept=shards[True],
            )

        manifest = run(
            root, out, config, workers=workers or len(os.sched_getaffinity(0)), report=report
        )
    for split, datasets in manifest["counts"].items():
        for dataset, counts in datasets.items():
            samples = ", ".join(f"{number} {name}" for name, number in counts["samples"].items())
            console.print(f"{split}: {dataset}: {counts['images']} images ({samples})")
    console.print(f"{shards[False]} shards written, {shards[True]} kept from before")
    if left_out:
        console.print(f"{left_out} things were left out; all of them are in {out / QUARANTINE}")


@app.command
def store(shards: Path, out: Path) -> None:
    """Write the annotations of shards as Parquet files, to be asked with SQL.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: Gets a file a shard and a row an image, in a folder a split; what is still right is kept.
    """
    from rich.console import Console  # noqa: PLC0415

    from glamm.data.inspection.parquet import write_store  # noqa: PLC0415

    written, kept = write_store(shards, out)
    Console(stderr=True, soft_wrap=True).print(f"{written} files written, {kept} kept: {out}")


@app.command
def stats(shards: Path, *, out: Path | None = None) -> None:
    """Count objects, phrases, areas of masks and concepts of shards.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: An HTML page with tables and plots to write; the terminal shows the same.
    """
    from rich.console import Console  # noqa: PLC0415

    from glamm.data.inspection.statistics import count_shards, plots_of, write_page  # noqa: PLC0415

    console = Console(soft_wrap=True, markup=False, highlight=False)
    counted = count_shards(shards)
    for (split, dataset), one in counted.items():
        samples = ", ".join(f"{number} {task}" for task, number in one.samples.items())
        console.print(
            f"{split}: {dataset}: {one.images} images, {one.objects} objects, {one.masks} masks, "
            f"{one.phrases} phrases, {one.words} words ({samples})"
        )
        for title, bars in plots_of(one).items():
            console.print(f"  {title}")
            longest = max((number for _, number in bars), default=0) or 1
            for name, number in bars:
                console.print(f"    {name:>22} {'█' * round(30 * number / longest)} {number}")
    if out:
        write_page(counted, out)


@app.command
def view(shards: Path, *, out: Path, split: str = "train", first: int = 0, count: int = 50) -> None:
    """Write a page to look at: images with masks, texts with spans in the colours of their masks.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: HTML file to write; it needs no other.
        split: train, val or test.
        first: Row to begin with.
        count: Most images.
    """
    from rich.console import Console  # noqa: PLC0415

    from glamm.data.inspection.html_viewer import write_view  # noqa: PLC0415

    shown = write_view(shards, out, split=split, first=first, count=count)
    Console(stderr=True, soft_wrap=True).print(f"{shown} images: {out}")
