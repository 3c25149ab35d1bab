"""Spatial relations between two objects of a scene."""

from collections.abc import Sequence
from enum import StrEnum

from glamm.synthetic.scene import DEPTH_RANGE, SceneObject

_CLEAR_DISTANCE = 0.05  # of the image; at a smaller distance neither side is clear
_SHARED_WIDTH = 0.35  # of the narrower object


class Relation(StrEnum):
    """Where the first object is relative to the second."""

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
"""How captions word a relation; the first is the standard wording."""


def could_hold(
    objects: Sequence[SceneObject], first: int, second: int, relation: Relation, *, side: int
) -> bool:
    """Whether the relation may be said to hold, although another one describes the pair better."""
    first_object, second_object = objects[first], objects[second]
    match relation:
        case Relation.ON_TOP_OF:
            return first_object.support == second
        case Relation.UNDER:
            return second_object.support == first
        case Relation.IN_FRONT_OF:
            return first_object.depth >= second_object.depth
        case Relation.BEHIND:
            return first_object.depth <= second_object.depth
        case Relation.LEFT_OF:
            return first_object.center_x <= second_object.center_x + _CLEAR_DISTANCE * side
        case Relation.RIGHT_OF:
            return first_object.center_x >= second_object.center_x - _CLEAR_DISTANCE * side


def relation_between(
    objects: Sequence[SceneObject], first: int, second: int, *, side: int
) -> Relation | None:
    """The relation that describes two objects best; None where none is clear."""
    first_object, second_object = objects[first], objects[second]
    if first_object.support == second:
        return Relation.ON_TOP_OF
    if second_object.support == first:
        return Relation.UNDER
    shared = min(first_object.box[2], second_object.box[2]) - max(
        first_object.box[0], second_object.box[0]
    )
    narrower = min(
        first_object.box[2] - first_object.box[0], second_object.box[2] - second_object.box[0]
    )
    if shared > _SHARED_WIDTH * narrower:
        return _in_depth(first_object, second_object)
    distance = second_object.center_x - first_object.center_x
    if abs(distance) < _CLEAR_DISTANCE * side:
        return None
    return Relation.LEFT_OF if distance > 0 else Relation.RIGHT_OF


def _in_depth(first_object: SceneObject, second_object: SceneObject) -> Relation | None:
    difference = first_object.depth - second_object.depth
    if abs(difference) < _CLEAR_DISTANCE * DEPTH_RANGE:
        return None
    return Relation.IN_FRONT_OF if difference > 0 else Relation.BEHIND
