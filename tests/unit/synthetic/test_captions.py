"""Phrases of a caption differ, whatever the scene holds."""

import numpy as np
import pytest

from glamm.geometry import masks
from glamm.synthetic.captions import grounded_caption
from glamm.synthetic.referring_expressions import mentions
from glamm.synthetic.scene import Look, Scene, Thing
from glamm.synthetic.text import Mention, assemble, with_article

BALL = Look("ball", ("red",), plural="balls")
APPLE = Look("apple", ("red",))


def thing(look: Look, x: int) -> Thing:
    pixels = np.zeros((64, 64), dtype=bool)
    pixels[30:36, x : x + 5] = True
    return Thing(
        look=look,
        box=(float(x), 30.0, x + 5.0, 36.0),
        mask=masks.encode(pixels),
        foot=36.0,
        depth=2000.0,
    )


def phrases(looks: list[Look], *, groups: bool) -> list[str]:
    things = [thing(look, 7 * index) for index, look in enumerate(looks)]
    return [mention.words for mention in mentions(things, groups=groups)]


def test_alike_things_become_a_group_or_are_told_apart() -> None:
    assert phrases([BALL, BALL], groups=True) == ["two red balls"]
    assert phrases([BALL, BALL], groups=False) == [
        "the red ball on the left",
        "the red ball on the right",
    ]
    assert phrases([APPLE, APPLE, APPLE], groups=True)[1] == "the red apple in the middle"
    assert phrases([APPLE] * 4, groups=True)[3] == "the fourth red apple from the left"


@pytest.mark.parametrize("looks", [[BALL], [BALL, APPLE, BALL], [APPLE] * 8, [BALL, APPLE] * 4])
def test_a_caption_grounds_every_thing_with_phrases_of_their_own(looks: list[Look]) -> None:
    things = tuple(thing(look, 7 * index) for index, look in enumerate(looks))
    scene = Scene(image=np.zeros((64, 64, 3), dtype=np.uint8), things=things)
    caption = grounded_caption(scene, rng=np.random.default_rng(0))
    assert sorted(index for g in caption.groundings for index in g.ids) == list(range(len(looks)))
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
def test_articles(name: str, phrase: str) -> None:
    assert with_article(name) == phrase
