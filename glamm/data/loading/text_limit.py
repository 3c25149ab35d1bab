"""Leaves out the samples whose texts are too long for a model, and says how many there are."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.shards.reader import ShardReader, Stream

_TOKENS_PER_WORD = 20
"""More than a word of `estimate_num_words` can have: a token is at least one of its 16 bytes, the rest is for the prompt."""

logger = logging.getLogger(__name__)


def fitting_streams(
    reader: ShardReader, preprocessor: SamplePreprocessor, *, reads_all: bool
) -> Iterator[Stream]:
    """The streams of a split without the samples that a model cannot read, in order; those that keep none are left out.

    A warning states their number for each task group and data set.

    Args:
        reader: Reads the split.
        preprocessor: Decides what fits.
        reads_all: Read also the samples whose expected number of words is far below the limit. Only an expression or
            class among many shorter ones can be too long among these.
    """
    min_words = 0 if reads_all else preprocessor.max_tokens // _TOKENS_PER_WORD
    for stream in reader.streams:
        fits = _fits(stream, reader, preprocessor, min_words=min_words)
        if not fits.all():
            logger.warning(
                "%s, %s: %d of %d samples of %s are left out: their texts are longer than the %d tokens that "
                "the model has for text",
                reader.folder.name,
                stream.dataset,
                len(fits) - int(fits.sum()),
                len(fits),
                stream.group,
                preprocessor.max_tokens,
            )
            stream = replace(stream, entries=np.asarray(stream.entries[fits]))  # noqa: PLW2901 - without those
        if len(stream):
            yield stream


def _fits(
    stream: Stream, reader: ShardReader, preprocessor: SamplePreprocessor, *, min_words: int
) -> Bool[np.ndarray, " samples"]:
    fits = np.ones(len(stream), dtype=bool)
    for index in np.flatnonzero(stream.entries[:, 2] >= min_words).tolist():
        image, sample_index, _ = stream.entries[index].tolist()
        fits[index] = preprocessor.fits(reader[image][sample_index])
    return fits
