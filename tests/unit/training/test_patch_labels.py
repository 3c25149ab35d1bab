from dataclasses import replace

import pytest

from glamm.structures.sample import ImageRef, Sample, Span, SpanKind, Task, Turn
from glamm.training.patch_labels import count_vocabulary, object_words, patch_targets
from tests.builders.data import obj, rectangle

SIZE = (64, 64)


def about(*objects, turns=()):
    reference = ImageRef("a.jpg", SIZE)
    sample = Sample(
        "set/train/a", Task.GROUNDED_CONVERSATION, "set", "train", reference, objects, turns
    )
    return (sample,)


def test_words_come_from_labels_and_attributes_without_function_words():
    thing = obj(
        1, 0, 0, 9, 9, labels=("traffic light",), attributes=("a red one of metal", "far left")
    )

    assert object_words(thing) == {"traffic", "light", "red", "metal"}


def test_words_of_a_nameless_thing_come_from_its_own_spans():
    thing, other = (obj(number, 0, 0, 9, 9, labels=()) for number in (1, 2))
    spans = (Span(0, 8, SpanKind.SEG, (1,)), Span(13, 20, SpanKind.SEG, (1, 2)))
    samples = about(thing, other, turns=(Turn("assistant", "a red ox and a group", spans),))

    assert object_words(thing, samples=samples) == {"red", "ox"}
    assert object_words(other, samples=samples) == frozenset()


def test_vocabulary_keeps_the_commonest_words():
    images = [about(obj(1, 0, 0, 9, 9, labels=("cat",)))] * 3 + [
        about(obj(1, 0, 0, 9, 9, labels=("dog",)))
    ]

    assert count_vocabulary(images, num_words=1) == ("cat",)
    assert count_vocabulary(images, num_words=9) == ("cat", "dog")


def test_vocabulary_leaves_rare_words_out():
    images = [about(obj(1, 0, 0, 9, 9, labels=("cat",)))] * 1001 + [
        about(obj(1, 0, 0, 9, 9, labels=("dog",)))
    ]

    assert count_vocabulary(images, num_words=9) == ("cat",)


def test_patches_name_the_thing_that_covers_most_of_them():
    left_half = rectangle(0, 0, 32, 64, SIZE)
    thing = replace(obj(1, 0, 0, 9, 9, labels=("cat",)), mask=left_half)

    shown, words = patch_targets(about(thing), vocabulary={"cat": 0, "dog": 1}, grid_size=2)

    assert shown.tolist() == [True, False, True, False]
    assert words.tolist() == [[1, 0], [0, 0], [1, 0], [0, 0]]


def test_image_without_masks_shows_nothing():
    thing = replace(obj(1, 0, 0, 9, 9, labels=("cat",)), mask=None)

    shown, words = patch_targets(about(thing), vocabulary={"cat": 0}, grid_size=2)

    assert not shown.any()
    assert words.sum() == pytest.approx(0)
