"""Captions of a scene: short, grounded and dense.

GranD-f's annotators go from left to right. GranD's machine-made captions name things in any order, so that a mask can
be found by the words of its phrase alone and not by its turn.
"""

from collections.abc import Sequence

import numpy as np

from glamm.synthetic.referring_expressions import mentions
from glamm.synthetic.relations import WORDINGS, Relation, relation_between
from glamm.synthetic.scene import Scene
from glamm.synthetic.text import (
    GroundedText,
    Mention,
    Piece,
    assemble,
    listing,
    lowered,
    with_article,
)

_INVERTED = 0.2  # of the sentences begin with "there is"


def grounded_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """A caption that names every thing once from left to right, two a sentence, with the relation of each pair."""
    return assemble(_pairs(scene, mentions(scene.things, groups=True), rng=rng))


def dense_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """Every thing once in any order, two a sentence, and what is in the background."""
    pieces = _pairs(scene, _shuffled(mentions(scene.things, groups=True), rng=rng), rng=rng)
    if scene.decor:
        labels = list(dict.fromkeys(with_article(decor.label) for decor in scene.decor))
        opening = _choose(rng, ("The background shows ", "In the background is "))
        pieces += [" ", opening, *listing(labels), "."]
    return assemble(pieces)


def short_captions(scene: Scene, *, rng: np.random.Generator) -> tuple[GroundedText, GroundedText]:
    """Two short captions in lower case: of the most conspicuous things, and of one pair."""
    named = _shuffled(mentions(scene.things, groups=False), rng=rng)
    by_size = sorted(named, key=lambda mention: -scene.things[mention.ids[0]].area)
    salient = [mention for mention in named if mention in by_size[: int(rng.integers(1, 4))]]
    is_definite = salient[0].words.startswith("the ")
    opening = "" if is_definite else _choose(rng, ("", "a picture of ", "there is "))
    place = [f" {scene.setting.place}"] if scene.setting else []
    begin = int(rng.integers(max(1, len(named) - 1)))
    second = _clause(scene, named[begin : begin + 2], rng=rng)
    return lowered(assemble([opening, *listing(salient), *place])), lowered(assemble(second))


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _shuffled(named: Sequence[Mention], *, rng: np.random.Generator) -> list[Mention]:
    return [named[index] for index in rng.permutation(len(named))]


def _pairs(scene: Scene, named: Sequence[Mention], *, rng: np.random.Generator) -> list[Piece]:
    pieces: list[Piece] = [f"{scene.setting.place}, "] if scene.setting else []
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
    """Words for the place of what stands outermost; none for the rest."""
    centers = [thing.center_x for thing in scene.things]
    own = [centers[index] for index in mention.ids]
    others = [center for index, center in enumerate(centers) if index not in mention.ids]
    if min(own) >= max(others):
        return _choose(rng, ("further right ", "on the right "))
    if max(own) <= min(others):
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
            scene.things, first.ids[0], second.ids[0], side=scene.image.shape[0]
        )
    if relation is None:
        return [f"there {verb} ", *listing(pair)]
    words = _choose(rng, WORDINGS[relation])
    if rng.random() < _INVERTED:
        return [f"there {verb} ", first, f" {words} ", second]
    return [first, f" {verb} {words} ", second]
