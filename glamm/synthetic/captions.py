"""Captions of a scene: short, grounded and dense. Things are named from left to right."""

from collections.abc import Sequence

import numpy as np

from glamm.synthetic.naming import mentions
from glamm.synthetic.relations import Relation, relation_between
from glamm.synthetic.scene import Scene
from glamm.synthetic.text import GroundedText, Mention, Piece, assemble, listing, lowered


def grounded_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """A caption that names every thing once, two a sentence, with the relation of each pair."""
    return assemble(_pairs(scene, _named(scene, groups=True), rng=rng))


def dense_caption(scene: Scene, *, rng: np.random.Generator) -> GroundedText:
    """The grounded caption, then where it is and which thing is nearest."""
    pieces = _pairs(scene, _named(scene, groups=True), rng=rng)
    if scene.decor:
        pieces += [" The background shows ", *listing([f"a {decor.label}" for decor in scene.decor[:2]]), "."]
    return assemble(pieces)


def short_captions(scene: Scene, *, rng: np.random.Generator) -> tuple[GroundedText, GroundedText]:
    """Two short captions in lower case: of the most conspicuous things, and of one pair."""
    named = _named(scene, groups=False)
    by_size = sorted(named, key=lambda mention: -scene.things[mention.ids[0]].area)
    salient = [mention for mention in named if mention in by_size[: int(rng.integers(1, 4))]]
    opening = _choose(rng, ("", "a picture of ", "there is "))
    first: list[Piece] = [opening, *listing(salient), _place(scene)]
    begin = int(rng.integers(max(1, len(named) - 1)))
    second = _clause(scene, named[begin : begin + 2], rng=rng)
    return lowered(assemble(first)), lowered(assemble(second))


def _named(scene: Scene, *, groups: bool) -> list[Mention]:
    return mentions(scene.things, groups=groups)


def _place(scene: Scene) -> str:
    return f" {scene.setting.place}" if scene.setting else ""


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _pairs(scene: Scene, named: Sequence[Mention], *, rng: np.random.Generator) -> list[Piece]:
    place = scene.setting.place if scene.setting else ""
    pieces: list[Piece] = []
    for begin in range(0, len(named), 2):
        pair = named[begin : begin + 2]
        if begin == 0:
            pieces += [f"{place}, "] if place else []
            pieces += _clause(scene, pair, rng=rng)
        elif len(pair) == 1:
            pieces += [" ", _choose(rng, ("Further right there is ", "On the right there is ")), pair[0]]
        else:
            pieces += [" ", *_clause(scene, pair, rng=rng)]
        pieces.append(".")
    return _spaced(pieces)


def _spaced(pieces: Sequence[Piece]) -> list[Piece]:
    """Fold the space after a full stop into the stop, where a sentence begins for `assemble`."""
    spaced: list[Piece] = []
    for piece in pieces:
        if piece == " " and spaced and spaced[-1] == ".":
            spaced[-1] = ". "
        else:
            spaced.append(piece)
    return spaced


def _clause(scene: Scene, pair: Sequence[Mention], *, rng: np.random.Generator) -> list[Piece]:
    if len(pair) == 1:
        return ["there is " if len(pair[0].ids) == 1 else "there are ", pair[0]]
    first, second = pair
    verb = "is" if len(first.ids) == 1 else "are"
    relation: Relation | None = None
    if len(first.ids) == len(second.ids) == 1:
        relation = relation_between(
            scene.things, first.ids[0], second.ids[0], side=scene.picture.shape[0]
        )
    words = str(relation) if relation else "next to"
    return [first, f" {verb} {words} ", second]
