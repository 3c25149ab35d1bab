"""What is in shards, in numbers: objects, phrases, areas of masks, concepts."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

from glamm.data.inspection.parquet import phrases_of
from glamm.data.preparation.prepare import SPLITS
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.sample import Sample

COUNT_EDGES = (0, 1, 2, 3, 5, 10, 20, 50, 100)
"""Lower edges of the classes of counts; the last has no end."""

AREA_EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5)
"""Lower edges of the classes of a mask's share of its image."""


@dataclass
class Statistics:
    """Numbers about one data set in one split.

    Args:
        images: Rows of the shards.
        objects: Of all images.
        masks: Objects that have one.
        phrases: Words tied to objects, in all samples.
        words: Of the texts of all samples.
        samples: By task.
        objects_per_image: Images by class of COUNT_EDGES.
        phrases_per_sample: Samples by class of COUNT_EDGES.
        mask_shares: Masks by class of AREA_EDGES.
        concepts: Objects by first label.
    """

    images: int = 0
    objects: int = 0
    masks: int = 0
    phrases: int = 0
    words: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    objects_per_image: list[int] = field(default_factory=lambda: [0] * len(COUNT_EDGES))
    phrases_per_sample: list[int] = field(default_factory=lambda: [0] * len(COUNT_EDGES))
    mask_shares: list[int] = field(default_factory=lambda: [0] * len(AREA_EDGES))
    concepts: Counter[str] = field(default_factory=Counter)

    def add(self, row: tuple[Sample, ...]) -> None:
        """Count the samples of one image."""
        first = row[0]
        height, width = first.image.size
        self.images += 1
        self.objects += len(first.objects)
        self.objects_per_image[bisect.bisect(COUNT_EDGES, len(first.objects)) - 1] += 1
        for obj in first.objects:
            if obj.labels:
                self.concepts[obj.labels[0]] += 1
            if obj.mask:
                self.masks += 1
                share = masks.area(obj.mask) / (height * width)
                self.mask_shares[bisect.bisect(AREA_EDGES, share) - 1] += 1
        for sample in row:
            phrases = list(phrases_of(sample))
            self.samples[sample.task.value] += 1
            self.phrases += len(phrases)
            self.phrases_per_sample[bisect.bisect(COUNT_EDGES, len(phrases)) - 1] += 1
            said = [turn.text or "" for turn in sample.turns]
            said += [target.text for target in sample.targets]
            self.words += sum(len(text.split()) for text in said)


def count_shards(shards: Path) -> dict[tuple[str, str], Statistics]:
    """Count every split, by (split, data set).

    Args:
        shards: Folder that `glamm data prepare` wrote.

    Raises:
        DataError: It holds no shards.
    """
    splits = [split for split in SPLITS if (shards / split).is_dir()]
    if not splits:
        raise DataError("holds no shards: run glamm data prepare", file=shards)
    return {
        (split, dataset): statistics
        for split in splits
        for dataset, statistics in count(ShardReader(shards / split)).items()
    }


def count(rows: Iterable[tuple[Sample, ...]]) -> dict[str, Statistics]:
    """Count rows, by data set."""
    counted: dict[str, Statistics] = defaultdict(Statistics)
    for row in rows:
        counted[row[0].dataset].add(row)
    return dict(sorted(counted.items()))


def edge_names(edges: Sequence[float | int]) -> list[str]:
    """How the classes between edges are called: "2", "5 to 9", "100 and more"; shares in per cent."""
    if isinstance(edges[-1], float):
        ends = [*(f"to {edge:.1%}" for edge in edges[1:]), f"over {edges[-1]:.1%}"]
        return [name.replace(".0%", "%") for name in ends]
    names = [
        f"{int(low)}" if high - low == 1 else f"{int(low)} to {int(high) - 1}"
        for low, high in pairwise(edges)
    ]
    return [*names, f"{int(edges[-1])} and more"]


def plots_of(statistics: Statistics, *, most: int = 20) -> dict[str, list[tuple[str, int]]]:
    """Titles with bars: name and length."""
    counts, shares = edge_names(COUNT_EDGES), edge_names(AREA_EDGES)
    return {
        "Objects on an image": list(zip(counts, statistics.objects_per_image, strict=True)),
        "Phrases in a sample": list(zip(counts, statistics.phrases_per_sample, strict=True)),
        "Share of the image that a mask fills": list(
            zip(shares, statistics.mask_shares, strict=True)
        ),
        f"Concepts ({len(statistics.concepts):,}), the most frequent": sorted(
            statistics.concepts.items(), key=lambda item: (-item[1], item[0])
        )[:most],
    }


def write_page(counted: dict[tuple[str, str], Statistics], path: Path) -> None:
    """Write tables and plots as one HTML file that needs no other."""
    sections = [_section(f"{split}: {name}", one) for (split, name), one in counted.items()]
    style = "body{font:15px sans-serif;margin:2em}svg{margin:0 2em 1em 0}td,th{padding:0 1em 0 0}"
    page = f"<!doctype html><meta charset=utf-8><title>Statistics</title><style>{style}</style>"
    path.write_text(page + "".join(sections) + "\n", encoding="utf-8")


def _section(title: str, one: Statistics) -> str:
    cells = {
        "images": one.images,
        "objects": one.objects,
        "masks": one.masks,
        "phrases": one.phrases,
        "words": one.words,
        **one.samples,
    }
    head = "".join(f"<th align=right>{escape(name)}" for name in cells)
    body = "".join(f"<td align=right>{number:,}" for number in cells.values())
    plots = "".join(_plot(name, bars) for name, bars in plots_of(one).items())
    return f"<h2>{escape(title)}</h2><table><tr>{head}<tr>{body}</table>{plots}"


def _plot(title: str, bars: list[tuple[str, int]]) -> str:
    longest = max((number for _, number in bars), default=0) or 1
    lines = "".join(
        f'<text x="150" y="{20 * row + 35}" text-anchor="end">{escape(name[:22])}</text>'
        f'<rect x="156" y="{20 * row + 23}" width="{200 * number / longest:.1f}" height="15" fill="#4878a8"/>'
        f'<text x="{162 + 200 * number / longest:.1f}" y="{20 * row + 35}">{number:,}</text>'
        for row, (name, number) in enumerate(bars)
    )
    height = 20 * len(bars) + 30
    return (
        f'<svg width="440" height="{height}" font-size="12" font-family="sans-serif">'
        f'<text x="0" y="14" font-weight="bold">{escape(title)}</text>{lines}</svg>'
    )
