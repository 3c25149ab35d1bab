"""An HTML page of shards to look at: images with their masks, texts with the spans that mean them."""

import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.geometry.image_files import decode
from glamm.geometry.palette import color_of, hex_color
from glamm.structures.sample import Obj, Sample, Turn

_LONGEST_SIDE = 640  # of an image on the page, in pixels
_TINT = 0.45  # of a mask's color over the image
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:1400px}section{display:flex;gap:2em;margin:0 0 2em}"
    "h2{font-size:15px}mark{padding:0 .2em;border-radius:.2em}p{margin:.3em 0}small{color:#666}"
)


def write_view(shards: Path, out: Path, *, split: str, first: int = 0, count: int = 50) -> int:
    """Write a page that needs no other file.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: The page.
        split: Which of the splits.
        first: Row to begin with.
        count: Most images.

    Returns:
        Number of images on the page.

    Raises:
        DataError: There are no such shards or rows, or they are damaged.
    """
    reader = ShardReader(shards / split)
    if not 0 <= first < len(reader):
        raise DataError(f"has {len(reader)} images, there is no number {first}", file=shards)
    head = (
        f"<!doctype html><meta charset=utf-8><title>{escape(split)}</title><style>{_STYLE}</style>"
    )
    rows = range(first, min(first + count, len(reader)))
    with out.open("w", encoding="utf-8", errors="backslashreplace") as page:
        page.write(head)
        for row in rows:
            page.write(render(reader[row], row))
    return len(rows)


def render(samples: tuple[Sample, ...], row: int) -> str:
    """One image with all its samples as HTML."""
    first = samples[0]
    colors = {obj.id: hex_color(color_of(index)) for index, obj in enumerate(first.objects)}
    talks = "".join(_talk(sample, colors) for sample in samples)
    objects = ", ".join(_mark(_name(obj), (obj.id,), colors) for obj in first.objects)
    title = (
        f"{row}: {first.image.key} ({first.image.size[1]} x {first.image.size[0]}), {first.dataset}"
    )
    return (
        f'<section><img alt="" src="data:image/jpeg;base64,{_image(first, colors)}">'
        f"<div><h2>{escape(title)}</h2>{talks}<p><small>objects:</small> {objects}</p></div></section>\n"
    )


def _image(sample: Sample, colors: dict[int, str]) -> str:
    """The image with masks and boxes, made smaller, as base64 of a JPEG."""
    try:
        pixels = decode(sample.image.data or b"", size=sample.image.size).astype(np.float32)
    except ValueError as error:
        raise DataError(
            f"{error}: run glamm data prepare again", record=sample.image.key
        ) from error
    for obj in sample.objects:
        if obj.mask:
            inside = masks.decode(obj.mask)
            pixels[inside] += (_rgb(colors[obj.id]) - pixels[inside]) * _TINT
    image = Image.fromarray(pixels.astype(np.uint8))
    scale = min(_LONGEST_SIDE / max(sample.image.size), 1.0)
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    draw = ImageDraw.Draw(image)
    for obj in sample.objects:
        draw.rectangle([value * scale for value in obj.box], outline=colors[obj.id])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _talk(sample: Sample, colors: dict[int, str]) -> str:
    said = "".join(_turn(turn, colors) for turn in sample.turns)
    asked = "".join(
        f"<p>{_mark(target.text, target.object_ids, colors)}</p>" for target in sample.targets
    )
    return (
        f"<p><small>{escape(sample.task.value)} {escape(sample.sample_id)}</small></p>{said}{asked}"
    )


def _turn(turn: Turn, colors: dict[int, str]) -> str:
    if turn.text is None:
        return f"<p><b>{escape(turn.role)}:</b> <small>one of the task's questions</small></p>"
    parts, end = [], 0
    for span in turn.spans:
        parts.append(escape(turn.text[end : span.start]))
        parts.append(_mark(turn.text[span.start : span.end] or "[SEG]", span.object_ids, colors))
        end = span.end
    parts.append(escape(turn.text[end:]))
    return f"<p><b>{escape(turn.role)}:</b> {''.join(parts)}</p>"


def _mark(text: str, object_ids: Sequence[int], colors: dict[int, str]) -> str:
    """Words in the colors of their objects; in gray where they mean nothing that is there."""
    shown = [colors.get(number, "#ccc") for number in object_ids] or ["#ccc"]
    step = 100 / len(shown)
    stops = ",".join(
        f"{color} {index * step:.0f}% {(index + 1) * step:.0f}%"
        for index, color in enumerate(islice(shown, 12))
    )
    return f'<mark style="background:linear-gradient(90deg,{stops})">{escape(text)}</mark>'


def _name(obj: Obj) -> str:
    return f"{obj.id} {', '.join(obj.labels)}".strip()


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[index : index + 2], 16) for index in (1, 3, 5)], dtype=np.float32)
