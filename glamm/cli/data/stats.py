"""`glamm data stats`: counts and histograms of shards."""

from pathlib import Path

from rich.console import Console

from glamm.data.inspection.statistics import count_shards, histograms, write_html

_BAR_WIDTH = 30  # characters of the longest bar


def stats(shards: Path, *, out: Path | None = None) -> None:
    """Count objects, phrases, areas of masks and concepts of shards.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: An HTML page with tables and plots to write; the terminal shows the same.
    """
    console = Console(soft_wrap=True, markup=False, highlight=False)
    counted = count_shards(shards)
    for (split, dataset), counts in counted.items():
        samples = ", ".join(f"{number} {task}" for task, number in counts.samples.items())
        console.print(
            f"{split}: {dataset}: {counts.images} images, {counts.objects} objects, "
            f"{counts.masks} masks, {counts.phrases} phrases, {counts.words} words ({samples})"
        )
        for title, bars in histograms(counts).items():
            console.print(f"  {title}")
            longest = max((number for _, number in bars), default=0) or 1
            for name, number in bars:
                bar = "█" * round(_BAR_WIDTH * number / longest)
                console.print(f"    {name:>22} {bar} {number}")
    if out:
        write_html(counted, out)
