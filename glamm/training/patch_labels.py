"""The words that describe what a patch of an image shows: targets of the phase `global_encoder`.

Works with any data set whose objects have masks and labels; the vocabulary is counted, not given.

Axis names: ``patches`` cells of the encoder's grid, row by row; ``words`` of the vocabulary.
"""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from glamm.geometry import masks
from glamm.structures.sample import Obj, Sample

_WORD = re.compile(r"[a-z][a-z-]+")
_FUNCTION_WORDS = frozenset(
    """a an the of in on at to and or is are with by for from that this it its one two three four five thing
    left right far near next front behind top bottom under above below largest smallest nearest""".split()
)
"""Words that distinguish an object from others, or connect words: no patch shows them."""
_MIN_COVERAGE = 0.3
"""Share of a patch that an object must cover for the patch to show it."""


def object_words(obj: Obj, *, samples: Iterable[Sample] = ()) -> frozenset[str]:
    """Content words that describe an object, in lower case.

    Args:
        obj: Its labels and attributes are used.
        samples: If it has neither, the spans of these samples that are about this object alone.
    """
    texts = [*obj.labels, *obj.attributes]
    if not texts:
        texts = [
            turn.text[span.start : span.end]
            for sample in samples
            for turn in sample.turns
            if turn.text
            for span in turn.spans
            if span.object_ids == (obj.id,)
        ]
    return frozenset(
        word
        for text in texts
        for word in _WORD.findall(text.lower())
        if word not in _FUNCTION_WORDS
    )


def count_vocabulary(images: Iterable[tuple[Sample, ...]], *, num_words: int) -> tuple[str, ...]:
    """The most frequent words for the objects of images, sorted; words of fewer than 1 in 1,000 objects are left out."""
    counts: Counter[str] = Counter()
    num_objects = 0
    for samples in images:
        for obj in samples[0].objects:
            counts.update(object_words(obj, samples=samples))
            num_objects += 1
    common = [word for word, count in counts.most_common(num_words) if count * 1000 >= num_objects]
    return tuple(sorted(common))


def patch_targets(
    samples: tuple[Sample, ...], *, vocabulary: dict[str, int], grid_size: int
) -> tuple[Bool[np.ndarray, " patches"], Float[np.ndarray, "patches words"]]:
    """For every patch, whether an object covers it, and which words describe the object that covers most of it.

    Args:
        samples: Samples of one image.
        vocabulary: Column of each word.
        grid_size: Patches along a side of the image, which is resized to a square.

    Returns:
        Whether an object covers the patch, and 1.0 for each of its words; no words where no object does.
    """
    objects = [obj for obj in samples[0].objects if obj.mask is not None]
    has_object = np.zeros(grid_size * grid_size, dtype=bool)
    words = np.zeros((grid_size * grid_size, len(vocabulary)), dtype=np.float32)
    if not objects:
        return has_object, words
    coverage = np.stack([_coverage(obj, grid_size) for obj in objects]).reshape(len(objects), -1)
    described = np.zeros((len(objects), len(vocabulary)), dtype=np.float32)
    for index, obj in enumerate(objects):
        columns = [
            vocabulary[word] for word in object_words(obj, samples=samples) if word in vocabulary
        ]
        described[index, columns] = 1.0
    winner = coverage.argmax(0)
    has_object = coverage.max(0) >= _MIN_COVERAGE
    words[has_object] = described[winner[has_object]]
    return has_object, words


def _coverage(obj: Obj, grid_size: int) -> Float[np.ndarray, "grid grid"]:
    assert obj.mask is not None  # noqa: S101 - the caller filtered; for the type checker
    return masks.coverage(masks.decode(obj.mask), (grid_size, grid_size))
