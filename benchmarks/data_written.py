"""Writes the data of `benchmarks/data.py`: synthetic images with blobs, as files and as shards."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from glamm.data.shards.writer import (
    BlockShards,
    IndexWriter,
    Shard,
    ShardWriter,
    StreamEntries,
)
from glamm.geometry import masks
from glamm.structures.sample import ImageRef, Obj, Sample, Span, SpanKind, Task, Turn

OBJECTS_PER_CONVERSATION = 3
CONVERSATIONS_PER_IMAGE = 2


@dataclass(frozen=True, slots=True)
class DatasetShape:
    """Sizes of a synthetic data set.

    Args:
        size: (height, width) of the images in pixels.
        objects: Number of annotated objects on each image.
        images: Number of images.
        batch_size: Images of a batch.
    """

    size: tuple[int, int]
    objects: int
    images: int
    batch_size: int


def write_dataset(folder: Path, shape: DatasetShape) -> dict[str, Sample]:
    """Write images as files and as shards; returns all samples by id, as the release's loader keeps them in memory."""
    writer = ShardWriter(folder / "train", shard_bytes=1 << 24)
    random = np.random.default_rng(0)
    samples: dict[str, Sample] = {}
    for number in range(shape.images):
        encoded = _jpeg(shape.size, random)
        path = folder / f"{number}.jpg"
        path.write_bytes(encoded)
        objects = tuple(_object(index, shape.size, random) for index in range(shape.objects))
        image = ImageRef(key=path.name, size=shape.size, path=str(path))
        of_image = tuple(
            _sample(f"{number}/{index}", image, objects, first=index * OBJECTS_PER_CONVERSATION)
            for index in range(CONVERSATIONS_PER_IMAGE)
        )
        samples |= {sample.sample_id: sample for sample in of_image}
        writer.add(of_image, encoded)
    writer.close()
    return samples


def _jpeg(size: tuple[int, int], random: np.random.Generator) -> bytes:
    """A JPEG with smooth regions, edges and noise, about as large as that of a photograph."""
    coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    grain = random.normal(0, 8, (*size, 3))
    pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _object(number: int, size: tuple[int, int], random: np.random.Generator) -> Obj:
    """A blob with an irregular outline."""
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
    words = [f"thing {(first + index) % len(objects)}" for index in range(OBJECTS_PER_CONVERSATION)]
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


_MAX_WORDS = 60  # in a conversation of the synthetic index


def write_large_index(
    folder: Path, num_samples: int, samples_per_image: int, *, images_per_shard: int = 128
) -> None:
    """Write the index and the streams of many samples.

    The shards are one byte each: a reader checks their size, and opens them only when it reads an image.
    """
    folder.mkdir()
    index = IndexWriter(folder, shard_bytes=1 << 26)
    groups = ("referring_segmentation", "region_captioning", "grounded_conversation")
    for first in range(0, num_samples // samples_per_image, images_per_shard):
        name = f"chunk-{first}-0.bin"
        (folder / name).write_bytes(b"\0")
        streams = tuple(
            StreamEntries(
                group=group,
                dataset=f"set{number}",
                entries=tuple(
                    value
                    for image in range(images_per_shard)
                    for sample in range(number, samples_per_image, len(groups))
                    for value in (image, sample, (image * 7 + sample) % _MAX_WORDS)
                ),
            )
            for number, group in enumerate(groups)
        )
        shard = Shard(filename=name, num_images=images_per_shard, num_bytes=1, sha256="")
        index.add(BlockShards(shards=(shard,), streams=streams))
    index.close()
