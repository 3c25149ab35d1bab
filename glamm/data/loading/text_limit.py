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

    A warning states their number for each task group and data set, and how many samples lose rounds at their end.

    Args:
        reader: Reads the split.
        preprocessor: Decides what fits.
        reads_all: Read also the samples whose expected number of words is far below the limit. Only an expression or
            class among many shorter ones can be too long among these.
    """
    min_words = 0 if reads_all else preprocessor.max_tokens // _TOKENS_PER_WORD
    for stream in reader.streams:
        fits = np.ones(len(stream), dtype=bool)
        num_shortened = 0
        for index in np.flatnonzero(stream.entries[:, 2] >= min_words).tolist():
            image, sample_index, _ = stream.entries[index].tolist()
            encoded = preprocessor.encode(reader[image][sample_index])
            fits[index] = encoded is not None
            num_shortened += encoded is not None and encoded.num_dropped_rounds > 0
        _warn(
            f"{reader.folder.name}, {stream.dataset}",
            f"of {len(stream)} samples of {stream.group}",
            num_left_out=len(fits) - int(fits.sum()),
            num_shortened=num_shortened,
            max_tokens=preprocessor.max_tokens,
        )
        if fits.any():
            yield stream if fits.all() else replace(stream, entries=stream.entries[fits])


def _warn(
    place: str, samples: str, *, num_left_out: int, num_shortened: int, max_tokens: int
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
