"""Counts what shards hold: objects, phrases, areas of masks, concepts."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

from glamm.data.inspection.parquet import phrases_of
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.files import write_text
from glamm.geometry import masks
from glamm.structures.manifest import SPLITS
from glamm.structures.sample import Sample

COUNT_EDGES = (0, 1, 2, 3, 5, 10, 20, 50, 100)
"""Lower edges of the bins of counts; the last bin is open."""

AREA_EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5)
"""Lower edges of the bins of the fraction of its image that a mask covers."""


@dataclass
class Statistics:
    """Counts of one data set in one split.

    Args:
        images: Number of images.
        objects: Over all images.
        masks: Number of objects with a mask.
        phrases: Texts that refer to objects, over all samples.
        words: Over all texts of all samples, separated by white space.
        samples: Number of samples by task.
        objects_per_image: Number of images in each bin of COUNT_EDGES.
        phrases_per_sample: Number of samples in each bin of COUNT_EDGES.
        mask_fractions: Number of masks in each bin of AREA_EDGES.
        concepts: Number of objects by their first label.
    """

    images: int = 0
    objects: int = 0
    masks: int = 0
    phrases: int = 0
    words: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    objects_per_image: list[int] = field(default_factory=lambda: [0] * len(COUNT_EDGES))
    phrases_per_sample: list[int] = field(default_factory=lambda: [0] * len(COUNT_EDGES))
    mask_fractions: list[int] = field(default_factory=lambda: [0] * len(AREA_EDGES))
    concepts: Counter[str] = field(default_factory=Counter)

    def add(self, samples: tuple[Sample, ...]) -> None:
        """Count one image with its samples."""
        first = samples[0]
        height, width = first.image.size
        self.images += 1
        self.objects += len(first.objects)
        self.objects_per_image[bisect.bisect(COUNT_EDGES, len(first.objects)) - 1] += 1
        for obj in first.objects:
            if obj.labels:
                self.concepts[obj.labels[0]] += 1
            if obj.mask:
                self.masks += 1
                fraction = masks.area(obj.mask) / (height * width)
                self.mask_fractions[bisect.bisect(AREA_EDGES, fraction) - 1] += 1
        for sample in samples:
            phrases = list(phrases_of(sample))
            self.samples[sample.task.value] += 1
            self.phrases += len(phrases)
            self.phrases_per_sample[bisect.bisect(COUNT_EDGES, len(phrases)) - 1] += 1
            texts = [turn.text or "" for turn in sample.turns]
            texts += [target.text for target in sample.targets]
            self.words += sum(len(text.split()) for text in texts)


def count_shards(shards: Path) -> dict[tuple[str, str], Statistics]:
    """Count every split.

    Args:
        shards: Folder that `glamm data prepare` wrote.

    Returns:
        Statistics by (split, data set).

    Raises:
        DataError: `shards` holds no shards, or they are damaged.
    """
    splits = [split for split in SPLITS if (shards / split).is_dir()]
    if not splits:
        raise DataError("holds no shards: run glamm data prepare", file=shards)
    return {
        (split, dataset): statistics
        for split in splits
        for dataset, statistics in count_images(ShardReader(shards / split)).items()
    }


def count_images(images: Iterable[tuple[Sample, ...]]) -> dict[str, Statistics]:
    """Statistics by data set; an image is given by its samples."""
    statistics: dict[str, Statistics] = defaultdict(Statistics)
    for samples in images:
        statistics[samples[0].dataset].add(samples)
    return dict(sorted(statistics.items()))


def bin_labels(edges: Sequence[float | int]) -> list[str]:
    """Labels of the bins between edges: "2", "5 to 9", "100 and more"; fractions as percentages."""
    if isinstance(edges[-1], float):
        ends = [*(f"to {edge:.1%}" for edge in edges[1:]), f"over {edges[-1]:.1%}"]
        return [name.replace(".0%", "%") for name in ends]
    names = [
        f"{int(low)}" if high - low == 1 else f"{int(low)} to {int(high) - 1}"
        for low, high in pairwise(edges)
    ]
    return [*names, f"{int(edges[-1])} and more"]


def histograms(
    statistics: Statistics, *, max_concepts: int = 20
) -> dict[str, list[tuple[str, int]]]:
    """Bars, each a label and a count, by the title of their histogram."""
    counts, fractions = bin_labels(COUNT_EDGES), bin_labels(AREA_EDGES)
    return {
        "Objects on an image": list(zip(counts, statistics.objects_per_image, strict=True)),
        "Phrases in a sample": list(zip(counts, statistics.phrases_per_sample, strict=True)),
        "Share of the image that a mask fills": list(
            zip(fractions, statistics.mask_fractions, strict=True)
        ),
        f"Concepts ({len(statistics.concepts):,}), the most frequent": sorted(
            statistics.concepts.items(), key=lambda item: (-item[1], item[0])
        )[:max_concepts],
    }


def write_html(statistics: Mapping[tuple[str, str], Statistics], path: Path) -> None:
    """Write tables and histograms as one HTML file that refers to no other file.

    Args:
        statistics: By (split, data set).
        path: The HTML file.
    """
    sections = [_section(f"{split}: {name}", item) for (split, name), item in statistics.items()]
    style = "body{font:15px sans-serif;margin:2em}svg{margin:0 2em 1em 0}td,th{padding:0 1em 0 0}"
    page = f"<!doctype html><meta charset=utf-8><title>Statistics</title><style>{style}</style>"
    write_text(path, page + "".join(sections) + "\n")


def _section(title: str, statistics: Statistics) -> str:
    cells = {
        "images": statistics.images,
        "objects": statistics.objects,
        "masks": statistics.masks,
        "phrases": statistics.phrases,
        "words": statistics.words,
        **statistics.samples,
    }
    head = "".join(f"<th align=right>{escape(name)}" for name in cells)
    body = "".join(f"<td align=right>{number:,}" for number in cells.values())
    plots = "".join(_plot(name, bars) for name, bars in histograms(statistics).items())
    return f"<h2>{escape(title)}</h2><table><tr>{head}<tr>{body}</table>{plots}"


def _plot(title: str, bars: list[tuple[str, int]]) -> str:
    longest = max((number for _, number in bars), default=0) or 1
    lines = "".join(
        f'<text x="150" y="{20 * index + 35}" text-anchor="end">{escape(name[:22])}</text>'
        f'<rect x="156" y="{20 * index + 23}" width="{200 * number / longest:.1f}" height="15" fill="#4878a8"/>'
        f'<text x="{162 + 200 * number / longest:.1f}" y="{20 * index + 35}">{number:,}</text>'
        for index, (name, number) in enumerate(bars)
    )
    height = 20 * len(bars) + 30
    return (
        f'<svg width="440" height="{height}" font-size="12" font-family="sans-serif">'
        f'<text x="0" y="14" font-weight="bold">{escape(title)}</text>{lines}</svg>'
    )
