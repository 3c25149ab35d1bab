"""What `benchmarks/data.py` reads: made-up images with blobs, as files and as shards."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from glamm.data.shards.reader import ShardWriter
from glamm.data.shards.writer import Chunk, IndexWriter, Part
from glamm.geometry import masks
from glamm.structures.sample import ImageRef, Obj, Sample, Span, SpanKind, Task, Turn

TOLD = 3
"""Objects that a conversation means."""
CONVERSATIONS = 2
"""About one image."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a data set is like.

    Args:
        size: (height, width) of its images.
        objects: Annotated on each.
        images: How many are read in a pass.
        batch_size: Images of a batch.
    """

    size: tuple[int, int]
    objects: int
    images: int
    batch_size: int


def write_data(folder: Path, shape: Shape) -> dict[str, Sample]:
    """Write images, and the same as shards; returns all samples by id, as a loader keeps them in memory."""
    writer = ShardWriter(folder / "train", shard_bytes=1 << 24)
    random = np.random.default_rng(0)
    known: dict[str, Sample] = {}
    for number in range(shape.images):
        encoded = _jpeg(shape.size, random)
        path = folder / f"{number}.jpg"
        path.write_bytes(encoded)
        objects = tuple(_object(index, shape.size, random) for index in range(shape.objects))
        image = ImageRef(key=path.name, size=shape.size, path=str(path))
        row = tuple(
            _sample(f"{number}/{talk}", image, objects, first=talk * TOLD)
            for talk in range(CONVERSATIONS)
        )
        known |= {sample.sample_id: sample for sample in row}
        writer.add(row, encoded)
    writer.close()
    return known


def _jpeg(size: tuple[int, int], random: np.random.Generator) -> bytes:
    """An image with smooth parts and edges, about as large as a photograph's file."""
    coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    grain = random.normal(0, 8, (*size, 3))
    pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _object(number: int, size: tuple[int, int], random: np.random.Generator) -> Obj:
    """A blob with an uneven edge."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    center = random.uniform(0.2, 0.8, 2) * size
    angle = np.arctan2(rows - center[0], columns - center[1])
    radius = (
        random.uniform(0.05, 0.25) * height * (1 + 0.2 * np.sin(angle * random.integers(3, 12)))
    )
    mask = masks.encode(np.hypot(rows - center[0], columns - center[1]) < radius)
    box = masks.box_of(mask)
    if box is None:
        raise SystemExit("a blob has no pixel")
    return Obj(id=number, box=box, mask=mask)


def _sample(name: str, image: ImageRef, objects: tuple[Obj, ...], *, first: int) -> Sample:
    words = [f"thing {(first + index) % len(objects)}" for index in range(TOLD)]
    text = ", ".join(words)
    starts = [text.index(word) for word in words]
    spans = tuple(
        Span(start, start + len(word), SpanKind.SEG, (int(word.split()[1]),))
        for start, word in zip(starts, words, strict=True)
    )
    return Sample(
        sample_id=f"bench/train/{name}",
        task=Task.GROUNDED_CONVERSATION,
        dataset="bench",
        split="train",
        image=image,
        objects=objects,
        turns=(Turn("user", "What is in the image?"), Turn("assistant", text, spans)),
    )


_MOST_WORDS = 60  # in a conversation, of the made-up index


def write_many(folder: Path, num_samples: int, per_row: int, *, rows_per_file: int = 128) -> None:
    """Index and streams of many samples; of the shards only the names and sizes, which is all that is looked at."""
    folder.mkdir()
    index = IndexWriter(folder, shard_bytes=1 << 26)
    names = ("referring_segmentation", "region_captioning", "grounded_conversation")
    for first in range(0, num_samples // per_row, rows_per_file):
        name = f"chunk-{first}-0.bin"
        (folder / name).write_bytes(b"\0")
        places = {
            (group, f"set{number}"): [
                value
                for row in range(rows_per_file)
                for index_in_row in range(number, per_row, len(names))
                for value in (row, index_in_row, (row * 7 + index_in_row) % _MOST_WORDS)
            ]
            for number, group in enumerate(names)
        }
        index.add(Part((Chunk(name, rows_per_file, 1, ""),), places))
    index.close()
