"""Draws masks on an image and the answer's text below it, each phrase in the color of its mask."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from glamm.geometry.mask_drawing import draw_masks
from glamm.geometry.palette import Color, color_of

_MIN_WIDTH = 560  # pixels; narrower images are enlarged, so that the text below them can be read
_MAX_ENLARGEMENT = 4
_NARROWEST = 240
_PANEL: Color = (255, 255, 255)
_INK: Color = (31, 35, 40)
_ROOM = 1.7  # radii of a number that a mask must offer around it
_CLOSING = ",.;:!?)"  # follow a phrase without a space
_FAINT: Color = (110, 119, 129)


Point: TypeAlias = tuple[float, float]
"""x, y in pixels."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the panel, and the index of the phrase that it belongs to, if any."""

    text: str
    phrase_index: int | None


def draw_overlay(
    image: UInt8[np.ndarray, "height width 3"],
    masks: Bool[np.ndarray, "masks height width"],
    phrases: Sequence[str],
    text: str,
) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """Draw an answer.

    Args:
        image: RGB.
        masks: One for each phrase, at the size of the image.
        phrases: Those found in the text are marked there, in order; the others are listed below it.
        text: The whole answer.

    Returns:
        RGB. A small image is enlarged, and a panel with the text is added below.

    Raises:
        ValueError: The numbers of masks and phrases differ.
    """
    if len(masks) != len(phrases):
        raise ValueError(f"{len(masks)} masks need as many phrases, not {len(phrases)}")
    pixels = _widen(_draw_masks(image, masks))
    panel = _draw_panel(_words(text, phrases), width=pixels.shape[1])
    return np.concatenate([pixels, panel])


def draw_side_by_side(
    left: UInt8[np.ndarray, "height_left width_left 3"],
    right: UInt8[np.ndarray, "height_right width_right 3"],
    *,
    titles: tuple[str, str],
) -> UInt8[np.ndarray, "height width 3"]:
    """Put two images side by side, each under its title."""
    height = max(len(left), len(right))
    columns = [
        np.concatenate([_title(title, width=drawing.shape[1]), _extend(drawing, height)])
        for drawing, title in zip((left, right), titles, strict=True)
    ]
    gap = np.full((len(columns[0]), 8, 3), 255, dtype=np.uint8)
    return np.concatenate([columns[0], gap, columns[1]], axis=1)


def draw_below_each_other(
    drawings: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Put images below each other, each under its title, in dark letters."""
    width = max(drawing.shape[1] for drawing in drawings)
    rows: list[UInt8[np.ndarray, "_ _ 3"]] = []
    for drawing, title in zip(drawings, titles, strict=True):
        missing = width - drawing.shape[1]
        rows += [
            _title(title, width=width, ink=_INK, size=max(16, round(width / 48))),
            np.pad(drawing, ((0, 0), (0, missing), (0, 0)), constant_values=255),
        ]
    return np.concatenate(rows)


def _draw_masks(
    image: UInt8[np.ndarray, "height width 3"], masks: Bool[np.ndarray, "masks height width"]
) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """Fill, outline and number every mask on the enlarged image."""
    factor = min(_MAX_ENLARGEMENT, max(1, round(_MIN_WIDTH / image.shape[1])))
    size = image.shape[0] * factor, image.shape[1] * factor
    canvas = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    colors = [color_of(index) for index in range(len(masks))]
    return _number(draw_masks(canvas, masks, colors), masks, factor)


def _widen(
    pixels: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height width_out 3"]:
    """Add white to the right of a very narrow image, so that a word fits below it."""
    missing = max(0, _NARROWEST - pixels.shape[1])
    return np.pad(pixels, ((0, 0), (0, missing), (0, 0)), constant_values=255)


def _number(
    canvas: UInt8[np.ndarray, "height_out width_out 3"],
    masks: Bool[np.ndarray, "masks height width"],
    factor: int,
) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """Write each mask's number into the mask, or beside one that is so small that the number would hide it."""
    pixels = Image.fromarray(canvas)
    draw = ImageDraw.Draw(pixels)
    font = _font(max(13, round(canvas.shape[1] / 45)))
    radius = font.size * 0.72
    taken: list[Point] = []
    union = np.asarray(masks.any(0))
    for index, mask in enumerate(masks):
        if not mask.any():
            continue
        x, y = _place(mask, union, factor, radius=radius, taken=taken)
        taken.append((x, y))
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=color_of(index),
            outline="white",
            width=2,
        )
        draw.text((x, y), str(index + 1), font=font, fill="white", anchor="mm")
    return np.asarray(pixels)


def _place(
    mask: Bool[np.ndarray, "height width"],
    others: Bool[np.ndarray, "height width"],
    factor: int,
    *,
    radius: float,
    taken: Sequence[Point],
) -> Point:
    """The center (x, y) of a mask's number: deep inside, or beside a mask that is so small that it would hide it.

    Args:
        mask: With at least one pixel.
        others: All masks together; a place beside one lies on none.
        factor: Enlargement of the drawing.
        radius: Of the disk with the number, in pixels of the drawing.
        taken: The numbers that are drawn already; a place that hides none of them is preferred.
    """
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    if depth.max() * factor < _ROOM * radius:
        for x, y in _corners(mask, factor, distance=radius):
            is_visible = (
                radius <= x <= mask.shape[1] * factor - radius
                and radius <= y <= mask.shape[0] * factor - radius
            )
            is_free = all(math.dist((x, y), other) >= 2 * radius for other in taken)
            if is_visible and is_free and not others[int(y / factor), int(x / factor)]:
                return x, y
    rows, columns = np.indices(mask.shape) + 0.5
    free = depth.copy()
    for x, y in taken:
        free[np.hypot(columns * factor - x, rows * factor - y) < 2 * radius] = 0
    deepest = (free if free.any() else depth).argmax()
    row, column = np.unravel_index(int(deepest), mask.shape)
    return (float(column) + 0.5) * factor, (float(row) + 0.5) * factor


def _corners(
    mask: Bool[np.ndarray, "height width"], factor: int, *, distance: float
) -> list[Point]:
    """The corners (x, y) of a mask's box, moved outwards, in pixels of the drawing."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    left, right = columns[0] * factor - distance, (columns[-1] + 1) * factor + distance
    top, bottom = rows[0] * factor - distance, (rows[-1] + 1) * factor + distance
    return [(right, top), (left, top), (right, bottom), (left, bottom)]


def _words(text: str, phrases: Sequence[str]) -> list[list[_Word]]:
    """The paragraphs of the panel: the text with its phrases marked, then the phrases that it does not contain."""
    spans: list[tuple[int, int, int]] = []
    missing: list[int] = []
    cursor = 0
    for index, phrase in enumerate(phrases):
        start = text.find(phrase, cursor) if phrase.strip() else -1
        if start < 0:
            missing.append(index)
            continue
        cursor = start + len(phrase)
        spans.append((start, cursor, index))
    paragraphs = [list(_mark(text, spans))]
    paragraphs += [list(_split(phrases[index].strip() or "(no words)", index)) for index in missing]
    return [paragraph for paragraph in paragraphs if paragraph]


def _mark(text: str, spans: Sequence[tuple[int, int, int]]) -> Iterator[_Word]:
    cursor = 0
    for start, end, index in spans:
        yield from _split(text[cursor:start], None)
        yield from _split(text[start:end], index)
        cursor = end
    yield from _split(text[cursor:], None)


def _split(text: str, phrase_index: int | None) -> Iterator[_Word]:
    return (_Word(word, phrase_index) for word in text.split())


def _draw_panel(
    paragraphs: Sequence[Sequence[_Word]], *, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    font = _font(max(14, round(width / 38)))
    margin, leading = font.size, round(font.size * 1.65)
    lines = [
        line
        for paragraph in paragraphs
        for line in _wrap(paragraph, font=font, width=float(width - 2 * margin))
    ]
    panel = Image.new("RGB", (width, leading * len(lines) + round(font.size * 1.2)), _PANEL)
    draw = ImageDraw.Draw(panel)
    for number, line in enumerate(lines):
        _draw_line(
            draw, line, font=font, x=float(margin), y=leading * (number + 0.5) + font.size * 0.6
        )
    return np.asarray(panel)


def _wrap(
    words: Sequence[_Word], *, font: ImageFont.FreeTypeFont, width: float
) -> Iterator[list[_Word]]:
    """Fill lines; a word that is wider than a line is cut into pieces, none is left out."""
    line: list[_Word] = []
    used = 0.0
    for word in (piece for whole in words for piece in _pieces(whole, font=font, width=width)):
        needed = font.getlength(word.text + " ") + _chip_width(line, word, font)
        if line and used + needed > width and word.text not in _CLOSING:
            yield line
            line, used = [], 0.0
            needed = font.getlength(word.text + " ") + _chip_width(line, word, font)
        line.append(word)
        used += needed
    if line:
        yield line


def _pieces(word: _Word, *, font: ImageFont.FreeTypeFont, width: float) -> Iterator[_Word]:
    rest = word.text
    while font.getlength(rest) > width * 0.8 and len(rest) > 1:
        keep = max(1, int(len(rest) * width * 0.8 / font.getlength(rest)))
        yield _Word(rest[:keep], word.phrase_index)
        rest = rest[keep:]
    yield _Word(rest, word.phrase_index)


def _chip_width(line: Sequence[_Word], word: _Word, font: ImageFont.FreeTypeFont) -> float:
    """Width of the number and the padding before a phrase's first word on a line."""
    if word.phrase_index is None or (line and line[-1].phrase_index == word.phrase_index):
        return 0.0
    return font.getlength(f"{word.phrase_index + 1} ") + font.size * 0.7


def _draw_line(
    draw: ImageDraw.ImageDraw,
    line: Sequence[_Word],
    *,
    font: ImageFont.FreeTypeFont,
    x: float,
    y: float,
) -> None:
    index = 0
    while index < len(line):
        phrase_index = line[index].phrase_index
        end = index + 1
        while (
            end < len(line) and phrase_index is not None and line[end].phrase_index == phrase_index
        ):
            end += 1
        words = " ".join(word.text for word in line[index:end])
        if phrase_index is None:
            draw.text((x, y), words, font=font, fill=_INK, anchor="lm")
            x += font.getlength(words + " ")
        else:
            x = _draw_chip(draw, words, phrase_index, font=font, x=x, y=y)
            if end < len(line) and line[end].text[0] in _CLOSING:
                x -= font.getlength(" ")
        index = end


def _draw_chip(
    draw: ImageDraw.ImageDraw,
    words: str,
    phrase_index: int,
    *,
    font: ImageFont.FreeTypeFont,
    x: float,
    y: float,
) -> float:
    """Draw a phrase with its number on a pale background of its color; return the x of the next word."""
    color = color_of(phrase_index)
    pale: Color = tuple(round(255 - (255 - value) * 0.25) for value in color)  # pyright: ignore[reportAssignmentType] - three values
    number = f"{phrase_index + 1} "
    pad, half = font.size * 0.35, font.size * 0.72
    length = font.getlength(number + words)
    draw.rounded_rectangle(
        (x, y - half, x + length + 2 * pad, y + half), radius=half * 0.5, fill=pale
    )
    dark: Color = tuple(round(value * 0.7) for value in color)  # pyright: ignore[reportAssignmentType] - three values
    draw.text((x + pad, y), number, font=font, fill=dark, anchor="lm")
    draw.text((x + pad + font.getlength(number), y), words, font=font, fill=_INK, anchor="lm")
    return x + length + 2 * pad + font.getlength(" ")


def _title(
    title: str, *, width: int, ink: Color = _FAINT, size: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    font = _font(size or max(14, round(width / 36)))
    bar = Image.new("RGB", (width, round(font.size * 2)), _PANEL)
    ImageDraw.Draw(bar).text((font.size, font.size), title, font=font, fill=ink, anchor="lm")
    return np.asarray(bar)


def _extend(
    drawing: UInt8[np.ndarray, "height width 3"], height: int
) -> UInt8[np.ndarray, "height_out width 3"]:
    return np.pad(drawing, ((0, height - len(drawing)), (0, 0), (0, 0)), constant_values=255)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType; install the wheel from PyPI")
    return font
