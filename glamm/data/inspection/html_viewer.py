"""Renders shards as an HTML page: images with their masks, and texts with each span in the color of its objects."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from glamm.data.shards.reader import ShardReader, read_pixels
from glamm.errors import DataError
from glamm.files import replacing
from glamm.geometry import masks
from glamm.geometry.mask_drawing import draw_masks
from glamm.geometry.palette import Color, color_of, hex_color
from glamm.structures.sample import Obj, Sample, Turn

_MAX_SIDE = 640  # pixels of an image on the page
_MAX_COLORS = 12  # of a text that refers to many objects
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:1400px}section{display:flex;gap:2em;margin:0 0 2em}"
    "h2{font-size:15px}mark{padding:0 .2em;border-radius:.2em}p{margin:.3em 0}small{color:#666}"
)


def render_html(shards: Path, out: Path, *, split: str, first: int = 0, count: int = 50) -> int:
    """Write a page that refers to no other file.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: The HTML file.
        split: train, val or test.
        first: Index of the first image.
        count: Maximum number of images.

    Returns:
        Number of images on the page.

    Raises:
        DataError: There is no such split or image, or the shards are damaged.
    """
    reader = ShardReader(shards / split)
    if not 0 <= first < len(reader):
        raise DataError(f"has {len(reader)} images, and none with index {first}", file=shards)
    head = (
        f"<!doctype html><meta charset=utf-8><title>{escape(split)}</title><style>{_STYLE}</style>"
    )
    indices = range(first, min(first + count, len(reader)))
    with (
        replacing(out) as unfinished,
        unfinished.open("w", encoding="utf-8", errors="backslashreplace") as page,
    ):
        page.write(head)
        for index in indices:
            page.write(render_image(reader[index], index))
    return len(indices)


def render_image(samples: tuple[Sample, ...], index: int) -> str:
    """One image with all its samples as HTML."""
    first = samples[0]
    palette = {obj.id: color_of(number) for number, obj in enumerate(first.objects)}
    colors = {id_: hex_color(color) for id_, color in palette.items()}
    texts = "".join(_sample(sample, colors) for sample in samples)
    objects = ", ".join(_mark(_name(obj), (obj.id,), colors) for obj in first.objects)
    title = f"{index}: {first.image.key} ({first.image.size[1]} x {first.image.size[0]}), {first.dataset}"
    return (
        f'<section><img alt="" src="data:image/jpeg;base64,{_image(first, palette)}">'
        f"<div><h2>{escape(title)}</h2>{texts}<p><small>objects:</small> {objects}</p></div></section>\n"
    )


def _image(sample: Sample, colors: Mapping[int, Color]) -> str:
    """The image with masks and boxes, scaled down, as base64 of a JPEG."""
    image = Image.fromarray(read_pixels(sample.image))
    scale = min(_MAX_SIDE / max(sample.image.size), 1.0)
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    with_masks = [obj for obj in sample.objects if obj.mask]
    drawing = draw_masks(
        np.asarray(image),
        [masks.decode(obj.mask) for obj in with_masks if obj.mask],
        [colors[obj.id] for obj in with_masks],
    )
    image = Image.fromarray(drawing)
    draw = ImageDraw.Draw(image)
    for obj in sample.objects:
        draw.rectangle([value * scale for value in obj.box], outline=colors[obj.id])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _sample(sample: Sample, colors: dict[int, str]) -> str:
    name = f"<p><small>{escape(sample.task.value)} {escape(sample.sample_id)}</small></p>"
    turns = "".join(_turn(turn, colors) for turn in sample.turns)
    targets = "".join(
        f"<p>{_mark(target.text, target.object_ids, colors)}</p>" for target in sample.targets
    )
    return f"{name}{turns}{targets}"


def _turn(turn: Turn, colors: dict[int, str]) -> str:
    if turn.text is None:
        return f"<p><b>{escape(turn.role)}:</b> <small>a question template of the task</small></p>"
    html, end = [], 0
    for span in turn.spans:
        html.append(escape(turn.text[end : span.start]))
        html.append(_mark(turn.text[span.start : span.end] or "[SEG]", span.object_ids, colors))
        end = span.end
    html.append(escape(turn.text[end:]))
    return f"<p><b>{escape(turn.role)}:</b> {''.join(html)}</p>"


def _mark(text: str, object_ids: Sequence[int], colors: dict[int, str]) -> str:
    """Text on the colors of its objects; on gray if it refers to no object."""
    backgrounds = [colors.get(id_, "#ccc") for id_ in object_ids[:_MAX_COLORS]] or ["#ccc"]
    step = 100 / len(backgrounds)
    stops = ",".join(
        f"{color} {index * step:.0f}% {(index + 1) * step:.0f}%"
        for index, color in enumerate(backgrounds)
    )
    return f'<mark style="background:linear-gradient(90deg,{stops})">{escape(text)}</mark>'


def _name(obj: Obj) -> str:
    return f"{obj.id} {', '.join(obj.labels)}".strip()
