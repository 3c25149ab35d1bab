"""How two things of a scene stand to each other."""

from collections.abc import Sequence
from enum import StrEnum

from glamm.synthetic.scene import DEPTH_RANGE, Thing

_CLEAR_DISTANCE = 0.05  # of the image: nearer than that, the eye decides for neither
_SHARED_WIDTH = 0.35  # of the narrower thing


class Relation(StrEnum):
    """Where the first thing is, seen from the second."""

    ON_TOP_OF = "on top of"
    UNDER = "under"
    IN_FRONT_OF = "in front of"
    BEHIND = "behind"
    LEFT_OF = "to the left of"
    RIGHT_OF = "to the right of"


WORDINGS: dict[Relation, tuple[str, ...]] = {
    Relation.ON_TOP_OF: ("on top of",),
    Relation.UNDER: ("under",),
    Relation.IN_FRONT_OF: ("in front of",),
    Relation.BEHIND: ("behind",),
    Relation.LEFT_OF: ("to the left of", "left of"),
    Relation.RIGHT_OF: ("to the right of", "right of"),
}
"""How captions put them; the first is the plainest."""


def may_be(
    things: Sequence[Thing], first: int, second: int, relation: Relation, *, side: int
) -> bool:
    """Whether somebody might say that the relation holds, even where it is not the plainest one."""
    one, two = things[first], things[second]
    match relation:
        case Relation.ON_TOP_OF:
            return one.carrier == second
        case Relation.UNDER:
            return two.carrier == first
        case Relation.IN_FRONT_OF:
            return one.depth >= two.depth
        case Relation.BEHIND:
            return one.depth <= two.depth
        case Relation.LEFT_OF:
            return one.center_x <= two.center_x + _CLEAR_DISTANCE * side
        case Relation.RIGHT_OF:
            return one.center_x >= two.center_x - _CLEAR_DISTANCE * side


def relation_between(
    things: Sequence[Thing], first: int, second: int, *, side: int
) -> Relation | None:
    """The plainest true relation of two things; None where the eye could not decide."""
    one, two = things[first], things[second]
    if one.carrier == second:
        return Relation.ON_TOP_OF
    if two.carrier == first:
        return Relation.UNDER
    shared = min(one.box[2], two.box[2]) - max(one.box[0], two.box[0])
    narrower = min(one.box[2] - one.box[0], two.box[2] - two.box[0])
    if shared > _SHARED_WIDTH * narrower:
        return _in_depth(one, two)
    distance = two.center_x - one.center_x
    if abs(distance) < _CLEAR_DISTANCE * side:
        return None
    return Relation.LEFT_OF if distance > 0 else Relation.RIGHT_OF


def _in_depth(one: Thing, two: Thing) -> Relation | None:
    difference = one.depth - two.depth
    if abs(difference) < _CLEAR_DISTANCE * DEPTH_RANGE:
        return None
    return Relation.IN_FRONT_OF if difference > 0 else Relation.BEHIND
