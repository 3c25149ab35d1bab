"""`glamm data render`: an HTML page of prepared images."""

from pathlib import Path

from rich.console import Console

from glamm.data.inspection.html_viewer import render_html


def render(
    shards: Path, *, out: Path, split: str = "train", first: int = 0, count: int = 50
) -> None:
    """Write an HTML page: images with their masks, captions with each phrase in the color of its mask.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: HTML file to write; it needs no other.
        split: train, val or test.
        first: Index of the first image.
        count: Most images.
    """
    num_images = render_html(shards, out, split=split, first=first, count=count)
    Console(stderr=True, soft_wrap=True, markup=False).print(f"{num_images} images: {out}")
