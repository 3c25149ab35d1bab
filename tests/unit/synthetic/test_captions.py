"""Phrases of a caption differ, whatever objects the scene has."""

import numpy as np
import pytest

from glamm.geometry import masks
from glamm.synthetic.captions import grounded_caption
from glamm.synthetic.referring_expressions import name_objects
from glamm.synthetic.scene import NounPhrase, Scene, SceneObject
from glamm.synthetic.text import Mention, assemble, with_article

BALL = NounPhrase("ball", ("red",), plural="balls")
APPLE = NounPhrase("apple", ("red",))


def scene_object(phrase: NounPhrase, x: int) -> SceneObject:
    pixels = np.zeros((64, 64), dtype=bool)
    pixels[30:36, x : x + 5] = True
    return SceneObject(
        phrase=phrase,
        box=(float(x), 30.0, x + 5.0, 36.0),
        mask=masks.encode(pixels),
        base_y=36.0,
        depth=2000.0,
    )


def phrases(names: list[NounPhrase], *, groups: bool) -> list[str]:
    objects = [scene_object(phrase, 7 * index) for index, phrase in enumerate(names)]
    return [mention.text for mention in name_objects(objects, groups=groups)]


def test_equal_objects_become_a_group_or_get_different_names() -> None:
    assert phrases([BALL, BALL], groups=True) == ["two red balls"]
    assert phrases([BALL, BALL], groups=False) == [
        "the red ball on the left",
        "the red ball on the right",
    ]
    assert phrases([APPLE, APPLE, APPLE], groups=True)[1] == "the red apple in the middle"
    assert phrases([APPLE] * 4, groups=True)[3] == "the fourth red apple from the left"


@pytest.mark.parametrize(
    "names", [[BALL], [BALL, APPLE, BALL], [APPLE] * 8, [BALL, APPLE] * 4], ids=len
)
def test_caption_names_every_object_with_a_phrase_of_its_own(names: list[NounPhrase]) -> None:
    objects = tuple(scene_object(phrase, 7 * index) for index, phrase in enumerate(names))
    scene = Scene(image=np.zeros((64, 64, 3), dtype=np.uint8), objects=objects)
    caption = grounded_caption(scene, rng=np.random.default_rng(0))
    assert sorted(index for g in caption.groundings for index in g.ids) == list(range(len(names)))
    assert len({g.phrase for g in caption.groundings}) == len(caption.groundings)
    assert all(caption.text[g.start : g.end] == g.phrase for g in caption.groundings)
    assert caption.text.endswith(".")


def test_sentences_begin_with_capitals() -> None:
    text = assemble(
        [Mention("a cat", (0,)), " sleeps", ".", " ", Mention("an owl", (1,)), " flies."]
    )
    assert text.text == "A cat sleeps. An owl flies."
    assert [g.phrase for g in text.groundings] == ["A cat", "An owl"]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("apple", "an apple"),
        ("cat", "a cat"),
        ("european bear", "a european bear"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("usb stick", "a usb stick"),
        ("hour glass", "an hour glass"),
        ("onion", "an onion"),
        ("one-eyed cat", "a one-eyed cat"),
        ("ukulele", "a ukulele"),
        ("ugly duck", "an ugly duck"),
    ],
)
def test_article_follows_the_pronunciation(name: str, phrase: str) -> None:
    assert with_article(name) == phrase
