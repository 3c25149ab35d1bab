"""Captions of a scene: short, grounded and dense.

GranD-f's annotators name objects from left to right. GranD's captions are made by machine and name them in any order,
so that a mask can be found by its phrase only, not by its position in the text.
"""

from collections.abc import Sequence

import numpy as np

from glamm.synthetic.referring_expressions import name_objects
from glamm.synthetic.relations import WORDINGS, Relation, relation_between
from glamm.synthetic.scene import Scene
from glamm.synthetic.text import (
    GroundedText,
    Mention,
    Piece,
    assemble,
    join_list,
    lower_case,
    with_article,
)

_INVERTED = 0.2  # of the sentences begin with "there is"


def grounded_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """A caption that names every object once, from left to right, two in a sentence with their relation."""
    return assemble(_pairs(scene, name_objects(scene.objects, groups=True), rng=rng))


def dense_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """A caption that names every object once, in any order, two in a sentence, and then the background's objects."""
    pieces = _pairs(scene, _shuffled(name_objects(scene.objects, groups=True), rng=rng), rng=rng)
    if scene.floating_objects:
        labels = list(dict.fromkeys(with_article(obj.label) for obj in scene.floating_objects))
        opening = _choose(rng, ("The background shows ", "In the background is "))
        pieces += [" ", opening, *join_list(labels), "."]
    return assemble(pieces)


def short_captions(scene: Scene, *, rng: np.random.Generator) -> tuple[GroundedText, GroundedText]:
    """Two short captions in lower case: of the largest objects, and of one pair."""
    named = _shuffled(name_objects(scene.objects, groups=False), rng=rng)
    by_size = sorted(named, key=lambda mention: -scene.objects[mention.ids[0]].area)
    salient = [mention for mention in named if mention in by_size[: int(rng.integers(1, 4))]]
    is_definite = salient[0].text.startswith("the ")
    opening = "" if is_definite else _choose(rng, ("", "a picture of ", "there is "))
    location = [f" {scene.setting.location}"] if scene.setting else []
    begin = int(rng.integers(max(1, len(named) - 1)))
    second = _clause(scene, named[begin : begin + 2], rng=rng)
    return lower_case(assemble([opening, *join_list(salient), *location])), lower_case(
        assemble(second)
    )


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _shuffled(named: Sequence[Mention], *, rng: np.random.Generator) -> list[Mention]:
    return [named[index] for index in rng.permutation(len(named))]


def _pairs(scene: Scene, named: Sequence[Mention], *, rng: np.random.Generator) -> list[Piece]:
    pieces: list[Piece] = [f"{scene.setting.location}, "] if scene.setting else []
    for begin in range(0, len(named), 2):
        pair = named[begin : begin + 2]
        if begin:
            pieces.append(" ")
        if begin and len(pair) == 1:
            verb = "is" if len(pair[0].ids) == 1 else "are"
            pieces += [f"{_where(scene, pair[0], rng=rng)}there {verb} ", *pair]
        else:
            pieces += _clause(scene, pair, rng=rng)
        pieces.append(".")
    return pieces


def _where(scene: Scene, mention: Mention, *, rng: np.random.Generator) -> str:
    """Where an outermost object is; empty for all others."""
    centers = [obj.center_x for obj in scene.objects]
    mentioned = [centers[index] for index in mention.ids]
    others = [center for index, center in enumerate(centers) if index not in mention.ids]
    if min(mentioned) >= max(others):
        return _choose(rng, ("further right ", "on the right "))
    if max(mentioned) <= min(others):
        return _choose(rng, ("further left ", "on the left "))
    return ""


def _clause(scene: Scene, pair: Sequence[Mention], *, rng: np.random.Generator) -> list[Piece]:
    first, second = pair[0], pair[-1]
    verb = "is" if len(first.ids) == 1 else "are"
    if len(pair) == 1:
        return [f"there {verb} ", first]
    relation: Relation | None = None
    if len(first.ids) == len(second.ids) == 1:
        relation = relation_between(
            scene.objects, first.ids[0], second.ids[0], side=scene.image.shape[0]
        )
    if relation is None:
        return [f"there {verb} ", *join_list(pair)]
    wording = _choose(rng, WORDINGS[relation])
    if rng.random() < _INVERTED:
        return [f"there {verb} ", first, f" {wording} ", second]
    return [first, f" {verb} {wording} ", second]
