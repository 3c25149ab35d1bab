"""Referring expressions fit one object; judged here from the written records alone."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glamm.config.synthetic import SynthConfig
from glamm.synthetic import records
from glamm.synthetic.dataset import Split, scene_rng
from glamm.synthetic.drawn import draw_scene

Thing = dict[str, Any]


def words(thing: Thing) -> set[str]:
    return set(thing["labels"][-1].split("_"))


def middle(thing: Thing) -> float:
    return (thing["bbox"][0] + thing["bbox"][2]) / 2


def area(thing: Thing) -> float:
    left, top, right, bottom = thing["bbox"]
    return (right - left) * (bottom - top)


LOOSELY: dict[str, Callable[[Thing, Thing], bool]] = {
    "behind": lambda one, two: one["depth"] <= two["depth"],
    "in front of": lambda one, two: one["depth"] >= two["depth"],
    "to the left of": lambda one, two: middle(one) <= middle(two),
    "to the right of": lambda one, two: middle(one) >= middle(two),
    "on top of": lambda one, two: one["depth"] == two["depth"] and one["bbox"][3] < two["bbox"][3],
    "under": lambda one, two: one["depth"] == two["depth"] and one["bbox"][3] > two["bbox"][3],
}
EXTREME: dict[str, Callable[[list[Thing]], Thing]] = {
    "on the far left": lambda things: min(things, key=middle),
    "on the far right": lambda things: max(things, key=middle),
    "largest": lambda things: max(things, key=area),
    "smallest": lambda things: min(things, key=area),
}


def named(things: list[Thing], name: str) -> list[Thing]:
    wanted = set(name.split()) - {"the"}
    return [thing for thing in things if wanted <= words(thing)]


def meant(things: list[Thing], expression: str) -> list[Thing]:
    """Everything that the expression could mean."""
    for words_, choose in EXTREME.items():
        if words_ in expression:
            return [choose(named(things, expression.replace(words_, "")))]
    for words_, holds in LOOSELY.items():
        if f" {words_} " in expression:
            subject, anchor_name = expression.split(f" {words_} ")
            anchors = named(things, anchor_name)
            assert len(anchors) == 1, expression
            return [
                thing for thing in named(things, subject)
                if thing is not anchors[0] and holds(thing, anchors[0])
            ]  # fmt: skip
    return named(things, expression)


@pytest.fixture(scope="module")
def scenes() -> list[list[Thing]]:
    found = []
    for index in range(150):
        rng = scene_rng(SynthConfig(), Split.GRAND, index)
        scene = draw_scene(rng, side=96, max_objects=8)
        found.append(records.grand_record(scene, rng=rng)["objects"])
    return found


def test_an_expression_means_one_object(scenes: list[list[Thing]]) -> None:
    checked = 0
    for things in scenes:
        for thing in things:
            for expression in thing["attributes"] or []:
                assert meant(things, expression) == [thing], (
                    expression,
                    [words(x) for x in things],
                )
                checked += 1
    assert checked > 500


def test_every_expression_names_its_object(scenes: list[list[Thing]]) -> None:
    """Readers of GranD drop, of several attributes, those without a label: they would never be trained."""
    for things in scenes:
        for thing in things:
            assert all(thing["label"].replace("_", " ") in e for e in thing["attributes"] or [])


def test_nearly_every_object_has_an_expression(scenes: list[list[Thing]]) -> None:
    has = [bool(thing["attributes"]) for things in scenes for thing in things]
    assert np.mean(has) > 0.97


def test_expressions_are_of_every_kind(scenes: list[list[Thing]]) -> None:
    text = " | ".join(e for things in scenes for t in things for e in t["attributes"] or [])
    for kind in (*EXTREME, *LOOSELY):
        assert kind in text


def test_vocabulary_is_modest(scenes: list[list[Thing]]) -> None:
    text = " ".join(e for things in scenes for t in things for e in t["attributes"] or [])
    assert len(set(re.findall(r"\w+", text))) < 60


def test_scenes_hold_one_to_eight_visible_things(scenes: list[list[Thing]]) -> None:
    counts = {len(things) for things in scenes}
    assert min(counts) == 1
    assert max(counts) in (7, 8)
