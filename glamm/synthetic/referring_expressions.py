"""Names that fit one object of a scene only: phrases of captions and referring expressions."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from glamm.synthetic.relations import could_hold, relation_between
from glamm.synthetic.scene import NounPhrase, SceneObject
from glamm.synthetic.text import Mention, with_article

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_MAX_EXPRESSIONS = 2  # of one object
_CLEAR_GAP = 0.06  # of the image's width; with a smaller gap it is not clear which is further left
_HIDDEN = 0.1  # fraction of an object; if more is hidden, its size is not clear
_CLEAR_RATIO = 1.35  # of areas; with a smaller ratio it is not clear which is larger


def name_objects(objects: Sequence[SceneObject], *, groups: bool) -> list[Mention]:
    """Name every object once, from left to right, with names that all differ.

    Args:
        objects: All objects of one scene.
        groups: Whether equal objects become one plural phrase where the plural is known. Otherwise their names differ
            by the position from left to right.

    Returns:
        Mentions with an article; every object is in exactly one.
    """
    order = sorted(range(len(objects)), key=lambda index: objects[index].center_x)
    alike: dict[str, list[int]] = {}
    for index in order:
        alike.setdefault(objects[index].phrase.text, []).append(index)
    named: list[Mention] = []
    for ids in alike.values():
        phrase = objects[ids[0]].phrase
        if len(ids) == 1:
            named.append(Mention(_indefinite(phrase), (ids[0],)))
        elif groups and phrase.plural is not None:
            text = " ".join([_NUMBERS[len(ids)], *phrase.adjectives, phrase.plural])
            named.append(Mention(text, tuple(ids)))
        else:
            named.extend(
                Mention(text, (index,))
                for index, text in zip(ids, _ordinal_names(phrase.text, len(ids)), strict=True)
            )
    return sorted(named, key=lambda mention: order.index(mention.ids[0]))


def _indefinite(phrase: NounPhrase) -> str:
    return f"{phrase.determiner} {phrase.text}" if phrase.determiner else with_article(phrase.text)


def _ordinal_names(name: str, count: int) -> list[str]:
    """Different names for equal objects, from left to right."""
    if count > 3:
        return [f"the {ordinal} {name} from the left" for ordinal in _ORDINALS[:count]]
    locations = ("on the left", "in the middle", "on the right")
    return [f"the {name} {location}" for location in (locations if count == 3 else locations[::2])]


def referring_expressions(
    objects: Sequence[SceneObject],
    index: int,
    *,
    rng: np.random.Generator,
    side: int,
) -> list[str]:
    """Expressions that fit one object of a scene and no other.

    Args:
        objects: All objects of one scene.
        index: The object to refer to.
        rng: Chooses among expressions of one kind.
        side: Side of the square image in pixels.

    Returns:
        At most two different expressions, by attributes, location and neighbor in turn; none if none is unique.
    """
    kinds = [
        _by_attributes(objects, index),
        _by_location(objects, index, side=side),
        _by_neighbor(objects, index, side=side),
    ]
    pools = [list(kind) for kind in kinds]
    chosen: list[str] = []
    while len(chosen) < _MAX_EXPRESSIONS and any(pools):
        for pool in pools:
            if pool and len(chosen) < _MAX_EXPRESSIONS:
                chosen.append(pool.pop(int(rng.integers(min(2, len(pool))))))
    return list(dict.fromkeys(chosen))


def _by_attributes(objects: Sequence[SceneObject], index: int) -> Iterator[str]:
    """Names that fit no other object, shortest first."""
    phrase = objects[index].phrase
    for adjectives in _choices(phrase):
        attributes = {*adjectives, phrase.noun}
        fitting = [
            other
            for other, obj in enumerate(objects)
            if attributes <= {*obj.phrase.adjectives, obj.phrase.noun}
        ]
        if fitting == [index]:
            yield " ".join(["the", *adjectives, phrase.noun])


def _choices(phrase: NounPhrase) -> Iterator[tuple[str, ...]]:
    lengths = range(len(phrase.adjectives) + 1)
    if phrase.is_compound:
        return (phrase.adjectives[len(phrase.adjectives) - length :] for length in lengths)
    return (chosen for length in lengths for chosen in combinations(phrase.adjectives, length))


def _by_location(objects: Sequence[SceneObject], index: int, *, side: int) -> Iterator[str]:
    """The outermost or largest of its kind, or of all objects if it is the only one of its kind.

    Every expression contains the noun: the release reads only those attributes of GranD that contain one of the object's
    labels, so "the thing on the far left" would occur in val and never in training.
    """
    obj = objects[index]
    others = [other for other in objects if other is not obj]
    same_kind = [other for other in others if other.phrase.noun == obj.phrase.noun]
    noun, rivals = obj.phrase.noun, same_kind or others
    if not rivals:
        return
    gap = _CLEAR_GAP * side
    if all(obj.center_x + gap <= other.center_x for other in rivals):
        yield f"the {noun} on the far left"
    if all(obj.center_x - gap >= other.center_x for other in rivals):
        yield f"the {noun} on the far right"
    if any(other.hidden > _HIDDEN for other in (obj, *rivals)):
        return  # the size of a partly hidden object is not clear
    if all(obj.area >= _CLEAR_RATIO * other.area for other in rivals):
        yield f"the largest {noun}"
    if all(obj.area * _CLEAR_RATIO <= other.area for other in rivals):
        yield f"the smallest {noun}"


def _by_neighbor(objects: Sequence[SceneObject], index: int, *, side: int) -> Iterator[str]:
    """By its relation to an object with a unique name, where no other object of the same noun fits."""
    noun = objects[index].phrase.noun
    for anchor in range(len(objects)):
        relation = None if anchor == index else relation_between(objects, index, anchor, side=side)
        name = next(_by_attributes(objects, anchor), None)
        if relation is None or name is None:
            continue
        rivals = (
            other
            for other, obj in enumerate(objects)
            if obj.phrase.noun == noun and other not in (index, anchor)
        )
        if not any(could_hold(objects, other, anchor, relation, side=side) for other in rivals):
            yield f"the {noun} {relation} {name}"
