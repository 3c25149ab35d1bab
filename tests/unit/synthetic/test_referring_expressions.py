"""Referring expressions fit one object; checked on the written records only."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glamm.config.synthetic import SynthConfig
from glamm.synthetic import records
from glamm.synthetic.dataset import Split, scene_rng
from glamm.synthetic.drawn import draw_scene

Record = dict[str, Any]


def attributes(obj: Record) -> set[str]:
    return set(obj["labels"][-1].split("_"))


def middle(obj: Record) -> float:
    return (obj["bbox"][0] + obj["bbox"][2]) / 2


def area(obj: Record) -> float:
    left, top, right, bottom = obj["bbox"]
    return (right - left) * (bottom - top)


RELATIONS: dict[str, Callable[[Record, Record], bool]] = {
    "behind": lambda first, second: first["depth"] <= second["depth"],
    "in front of": lambda first, second: first["depth"] >= second["depth"],
    "to the left of": lambda first, second: middle(first) <= middle(second),
    "to the right of": lambda first, second: middle(first) >= middle(second),
    "on top of": lambda first, second: (
        first["depth"] == second["depth"] and first["bbox"][3] < second["bbox"][3]
    ),
    "under": lambda first, second: (
        first["depth"] == second["depth"] and first["bbox"][3] > second["bbox"][3]
    ),
}
EXTREMES: dict[str, Callable[[list[Record]], Record]] = {
    "on the far left": lambda objects: min(objects, key=middle),
    "on the far right": lambda objects: max(objects, key=middle),
    "largest": lambda objects: max(objects, key=area),
    "smallest": lambda objects: min(objects, key=area),
}


def named(objects: list[Record], name: str) -> list[Record]:
    wanted = set(name.split()) - {"the"}
    return [obj for obj in objects if wanted <= attributes(obj)]


def fitting(objects: list[Record], expression: str) -> list[Record]:
    """All objects that the expression could refer to."""
    for phrase, choose in EXTREMES.items():
        if phrase in expression:
            return [choose(named(objects, expression.replace(phrase, "")))]
    for phrase, holds in RELATIONS.items():
        if f" {phrase} " in expression:
            subject, anchor_name = expression.split(f" {phrase} ")
            anchors = named(objects, anchor_name)
            assert len(anchors) == 1, expression
            return [
                obj for obj in named(objects, subject)
                if obj is not anchors[0] and holds(obj, anchors[0])
            ]  # fmt: skip
    return named(objects, expression)


@pytest.fixture(scope="module")
def scenes() -> list[list[Record]]:
    found = []
    for index in range(150):
        rng = scene_rng(SynthConfig(), Split.GRAND, index)
        scene = draw_scene(rng, side=96, max_objects=8)
        found.append(records.grand_record(scene, rng=rng)["objects"])
    return found


def test_expression_fits_one_object_only(scenes: list[list[Record]]) -> None:
    checked = 0
    for objects in scenes:
        for obj in objects:
            for expression in obj["attributes"] or []:
                assert fitting(objects, expression) == [obj], (
                    expression,
                    [attributes(other) for other in objects],
                )
                checked += 1
    assert checked > 500


def test_every_expression_names_its_object(scenes: list[list[Record]]) -> None:
    """Readers of GranD drop attributes that contain no label of the object, so they would never be trained."""
    for objects in scenes:
        for obj in objects:
            assert all(obj["label"].replace("_", " ") in e for e in obj["attributes"] or [])


def test_nearly_every_object_has_an_expression(scenes: list[list[Record]]) -> None:
    has = [bool(obj["attributes"]) for objects in scenes for obj in objects]
    assert np.mean(has) > 0.97


def test_expressions_are_of_every_kind(scenes: list[list[Record]]) -> None:
    text = " | ".join(e for objects in scenes for t in objects for e in t["attributes"] or [])
    for kind in (*EXTREMES, *RELATIONS):
        assert kind in text


def test_vocabulary_has_fewer_than_sixty_words(scenes: list[list[Record]]) -> None:
    text = " ".join(e for objects in scenes for t in objects for e in t["attributes"] or [])
    assert len(set(re.findall(r"\w+", text))) < 60


def test_scenes_have_one_to_eight_visible_objects(scenes: list[list[Record]]) -> None:
    counts = {len(objects) for objects in scenes}
    assert min(counts) == 1
    assert max(counts) in (7, 8)
