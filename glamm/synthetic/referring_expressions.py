"""Names that single things out: phrases of captions and referring expressions."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from glamm.synthetic.relations import may_be, relation_between
from glamm.synthetic.scene import Look, Thing
from glamm.synthetic.text import Mention, with_article

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_CLEAR_GAP = 0.06  # of the image's width: nearer than that, nobody can say which is further left
_HIDDEN = 0.1  # part of a thing; from then on its size cannot be told
_CLEAR_RATIO = 1.35  # of areas: nearer than that, nobody can say which is larger


def mentions(things: Sequence[Thing], *, groups: bool) -> list[Mention]:
    """Name every thing once, from left to right, no two names alike.

    Args:
        things: Of one scene.
        groups: Things that look alike become one plural phrase where the plural is known; otherwise, and without
            this, each is told apart by its place in the row.

    Returns:
        Mentions with an article, together naming every thing exactly once.
    """
    order = sorted(range(len(things)), key=lambda index: things[index].center_x)
    alike: dict[str, list[int]] = {}
    for index in order:
        alike.setdefault(things[index].look.name, []).append(index)
    named: list[Mention] = []
    for ids in alike.values():
        look = things[ids[0]].look
        if len(ids) == 1:
            named.append(Mention(_indefinite(look), (ids[0],)))
        elif groups and look.plural is not None:
            words = " ".join([_NUMBERS[len(ids)], *look.adjectives, look.plural])
            named.append(Mention(words, tuple(ids)))
        else:
            named.extend(
                Mention(words, (index,))
                for index, words in zip(ids, _told_apart(look.name, len(ids)), strict=True)
            )
    return sorted(named, key=lambda mention: order.index(mention.ids[0]))


def _indefinite(look: Look) -> str:
    return f"{look.determiner} {look.name}" if look.determiner else with_article(look.name)


def _told_apart(name: str, count: int) -> list[str]:
    """Names for things that look alike, from left to right."""
    if count > 3:
        return [f"the {ordinal} {name} from the left" for ordinal in _ORDINALS[:count]]
    places = ("on the left", "in the middle", "on the right")
    return [f"the {name} {place}" for place in (places if count == 3 else places[::2])]


def references(
    things: Sequence[Thing], index: int, *, rng: np.random.Generator, side: int, most: int = 2
) -> list[str]:
    """Expressions that fit one thing of a scene and no other.

    Args:
        things: Of one scene.
        index: The thing meant.
        rng: Chooses among expressions of one kind.
        side: Of the image in pixels.
        most: Expressions wanted.

    Returns:
        At most `most` different expressions, the kinds mixed; none where nothing tells the thing apart.
    """
    kinds = [
        _by_words(things, index),
        _by_place(things, index, side=side),
        _by_neighbour(things, index, side=side),
    ]
    pools = [list(kind) for kind in kinds]
    chosen: list[str] = []
    while len(chosen) < most and any(pools):
        for pool in pools:
            if pool and len(chosen) < most:
                chosen.append(pool.pop(int(rng.integers(min(2, len(pool))))))
    return list(dict.fromkeys(chosen))


def _by_words(things: Sequence[Thing], index: int) -> Iterator[str]:
    """The shortest names that fit no other thing, shortest first."""
    look = things[index].look
    for adjectives in _choices(look):
        words = {*adjectives, look.noun}
        fitting = [
            other
            for other, thing in enumerate(things)
            if words <= {*thing.look.adjectives, thing.look.noun}
        ]
        if fitting == [index]:
            yield " ".join(["the", *adjectives, look.noun])


def _choices(look: Look) -> Iterator[tuple[str, ...]]:
    lengths = range(len(look.adjectives) + 1)
    if look.is_compound:
        return (look.adjectives[len(look.adjectives) - length :] for length in lengths)
    return (words for length in lengths for words in combinations(look.adjectives, length))


def _by_place(things: Sequence[Thing], index: int, *, side: int) -> Iterator[str]:
    """Outermost or largest of its kind; where it has no kin, of all things.

    It always says the noun: the release reads those attributes of GranD alone that name one of the object's labels, so
    that "the thing on the far left" would be asked for in val and never be trained.
    """
    thing = things[index]
    others = [other for other in things if other is not thing]
    kin = [other for other in others if other.look.noun == thing.look.noun]
    noun, rivals = thing.look.noun, kin or others
    if not rivals:
        return
    gap = _CLEAR_GAP * side
    if all(thing.center_x + gap <= other.center_x for other in rivals):
        yield f"the {noun} on the far left"
    if all(thing.center_x - gap >= other.center_x for other in rivals):
        yield f"the {noun} on the far right"
    if any(other.hidden > _HIDDEN for other in (thing, *rivals)):
        return  # how large a thing is cannot be seen behind another one
    if all(thing.area >= _CLEAR_RATIO * other.area for other in rivals):
        yield f"the largest {noun}"
    if all(thing.area * _CLEAR_RATIO <= other.area for other in rivals):
        yield f"the smallest {noun}"


def _by_neighbour(things: Sequence[Thing], index: int, *, side: int) -> Iterator[str]:
    """By its relation to a thing that has a name of its own, where no other of its kind could be meant."""
    noun = things[index].look.noun
    for anchor in range(len(things)):
        relation = None if anchor == index else relation_between(things, index, anchor, side=side)
        name = next(_by_words(things, anchor), None)
        if relation is None or name is None:
            continue
        rivals = (
            other
            for other, thing in enumerate(things)
            if thing.look.noun == noun and other not in (index, anchor)
        )
        if not any(may_be(things, other, anchor, relation, side=side) for other in rivals):
            yield f"the {noun} {relation} {name}"
