"""Every data set that can be read, by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glamm.data.readers import (
    ade20k,
    coco_captions,
    coco_stuff,
    flickr30k_gcg,
    flickr30k_region,
    grand,
    granddf_ha_gcg,
    grandf_eval,
    grandf_refcocog,
    grefcoco,
    llava,
    mapillary,
    openpsg_gcg,
    own_coco,
    own_cvat,
    own_jsonl,
    own_labelme,
    paco_lvis,
    pascal_part,
    refclef,
    refcoco,
    refcoco_plus,
    refcoco_plus_region,
    refcoco_region,
    refcocog,
    refcocog_region,
    visual_genome,
)
from glamm.data.record import Record
from glamm.errors import RequestError
from glamm.structures.issue import Issue


@dataclass(frozen=True, slots=True)
class Source:
    """A data set's reader.

    Args:
        name: As in the command line and in sample ids.
        splits: Which it may have.
        is_in: Whether its files are below a folder.
        read: Yields what a split below a folder holds, in the order of its files; raises DataError where a file as
            a whole cannot be read.
        beside: What is beside the samples, for a person to look at, and what of it cannot be read.
    """

    name: str
    splits: tuple[str, ...]
    is_in: Callable[[Path], bool]
    read: Callable[[Path, str], Iterator[Record | Issue]]
    beside: Callable[[Path], tuple[dict[str, Any], list[Issue]]] = lambda _: ({}, [])


SOURCES = {
    module.NAME: Source(module.NAME, module.SPLITS, module.is_in, module.read)
    for module in (
        ade20k,
        coco_captions,
        coco_stuff,
        flickr30k_gcg,
        flickr30k_region,
        grand,
        grandf_eval,
        grandf_refcocog,
        granddf_ha_gcg,
        grefcoco,
        llava,
        mapillary,
        openpsg_gcg,
        own_coco,
        own_cvat,
        own_jsonl,
        own_labelme,
        paco_lvis,
        pascal_part,
        refclef,
        refcoco,
        refcoco_plus,
        refcoco_plus_region,
        refcoco_region,
        refcocog,
        refcocog_region,
        visual_genome,
    )
}


SOURCES[grand.NAME] = replace(SOURCES[grand.NAME], beside=grand.beside)


def get_source(name: str) -> Source:
    """Look up a data set by name.

    Raises:
        RequestError: There is none of that name; the message lists those there are.
    """
    if name not in SOURCES:
        raise RequestError(
            f"no data set is called '{name}'; there are: {', '.join(sorted(SOURCES))}"
        )
    return SOURCES[name]


def find_sources(root: Path) -> tuple[Source, ...]:
    """The data sets below a folder, sorted by name."""
    return tuple(SOURCES[name] for name in sorted(SOURCES) if SOURCES[name].is_in(root))
