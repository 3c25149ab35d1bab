"""Leaves out the samples whose texts are too long for a model, and says how many there are."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.shards.reader import ShardReader, Stream

_TOKENS_PER_WORD = 20
"""More than a word of `estimate_num_words` can have: a token is at least one of its 16 bytes, the rest is for the prompt."""

logger = logging.getLogger(__name__)


def fitting_streams(
    reader: ShardReader, preprocessor: SamplePreprocessor, *, reads_all: bool
) -> Iterator[Stream]:
    """The streams of a split without the samples that a model cannot read, in order; those that keep none are left out.

    A warning states their number for each task group and data set, how many samples lose rounds at their end, and how
    many expressions, classes and regions of the others are too long.

    Args:
        reader: Reads the split.
        preprocessor: Decides what fits.
        reads_all: Read also the samples whose expected number of words is far below the limit. Only an expression or
            class among many shorter ones can be too long among these.
    """
    min_words = 0 if reads_all else preprocessor.max_tokens // _TOKENS_PER_WORD
    for stream in reader.streams:
        fits = np.ones(len(stream), dtype=bool)
        num_shortened = num_long_targets = 0
        for index in np.flatnonzero(stream.entries[:, 2] >= min_words).tolist():
            image, sample_index, _ = stream.entries[index].tolist()
            sample = reader[image][sample_index]
            encoded = preprocessor.encode(sample)
            fits[index] = encoded is not None
            if encoded is not None:
                # targets are drawn anew in every epoch: those that find no space come later
                num_shortened += not sample.targets and encoded.num_dropped_rounds > 0
                num_long_targets += preprocessor.num_long_targets(sample)
        _warn(
            f"{reader.folder.name}, {stream.dataset}",
            f"of {len(stream)} samples of {stream.group}",
            num_left_out=len(fits) - int(fits.sum()),
            num_shortened=num_shortened,
            num_long_targets=num_long_targets,
            max_tokens=preprocessor.max_tokens,
        )
        if fits.any():
            yield stream if fits.all() else replace(stream, entries=stream.entries[fits])


def _warn(
    place: str,
    samples: str,
    *,
    num_left_out: int,
    num_shortened: int,
    num_long_targets: int,
    max_tokens: int,
) -> None:
    if num_left_out:
        logger.warning(
            "%s: %d %s are left out: their texts are longer than the %d tokens that the model has for text",
            place,
            num_left_out,
            samples,
            max_tokens,
        )
    if num_shortened:
        logger.warning(
            "%s: %d %s lose rounds at their end: together they are longer than the %d tokens that the model has for text",
            place,
            num_shortened,
            samples,
            max_tokens,
        )
    if num_long_targets:
        logger.warning(
            "%s: %d expressions, classes or regions %s are left out: each is longer than the %d tokens that the model has "
            "for text",
            place,
            num_long_targets,
            samples,
            max_tokens,
        )
