"""Rules for samples; one that violates a rule is not used for training."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from glamm.geometry import boxes, masks
from glamm.structures.issue import Issue, IssueKind, Location, Severity
from glamm.structures.sample import Obj, Sample, Span, SpanKind, Target, Task, Turn, objects_by_id

_TARGET_TASKS = {Task.REFERRING_SEGMENTATION, Task.SEMANTIC_SEGMENTATION, Task.REGION_CAPTIONING}
_ROLES = ("user", "assistant")

Violation = tuple[str, str]
"""Field of the sample, and what is wrong with it."""

Rule = Callable[[Sample], Iterator[Violation]]
"""Yields the violations of a sample."""


def find_issues(sample: Sample, location: Location) -> list[Issue]:
    """Check every rule.

    Args:
        sample: Result of `normalize_sample`.
        location: Location of the record that the sample was made from.

    Returns:
        One issue for each violation, with the field of the sample; none if the sample is valid.
    """
    return [*find_object_issues(sample, location), *find_sample_issues(sample, location)]


def find_object_issues(sample: Sample, location: Location) -> list[Issue]:
    """As `find_issues`, but only the rules for single objects; the field is `object` and the object's id."""
    return _issues((_objects,), sample, location)


def find_sample_issues(sample: Sample, location: Location) -> list[Issue]:
    """As `find_issues`, but without the rules for single objects, whose masks take most of the time."""
    return _issues(_SAMPLE_RULES, sample, location)


def _issues(rules: Iterable[Rule], sample: Sample, location: Location) -> list[Issue]:
    return [
        Issue(replace(location, field=field), Severity.PART, IssueKind.INVALID_PART, reason)
        for rule in rules
        for field, reason in rule(sample)
    ]


def _shape(sample: Sample) -> Iterator[Violation]:
    if bool(sample.turns) == bool(sample.targets):
        yield "turns", "a sample must have either turns or targets"
    if sample.targets and sample.task not in _TARGET_TASKS:
        yield "targets", f"task {sample.task} must have turns, not targets"
    for index, turn in enumerate(sample.turns):
        if turn.role != _ROLES[index % 2]:
            yield f"turns[{index}]", f"has the role '{turn.role}' instead of '{_ROLES[index % 2]}'"
        if turn.text is None and (turn.role == "assistant" or turn.spans):
            yield f"turns[{index}]", "has no text"
    if len(sample.turns) % 2:
        yield "turns", "the last question has no answer"


def _texts(sample: Sample) -> Iterator[Violation]:
    texts = [(f"turns[{index}]", turn.text) for index, turn in enumerate(sample.turns)]
    texts += [(f"targets[{index}]", target.text) for index, target in enumerate(sample.targets)]
    for field, text in texts:
        if text is None:
            continue
        if not text.strip():
            yield field, "is empty"
        if not unicodedata.is_normalized("NFC", text):
            yield field, "is not composed Unicode (NFC)"


def _object_ids(sample: Sample) -> Iterator[Violation]:
    ids = [obj.id for obj in sample.objects]
    if len(set(ids)) < len(ids):
        yield "objects", "two objects have the same id"


def _objects(sample: Sample) -> Iterator[Violation]:
    for obj in sample.objects:
        yield from _object(obj, sample)


def _object(obj: Obj, sample: Sample) -> Iterator[Violation]:
    field, size = f"object {obj.id}", sample.image.size
    if not boxes.is_inside(obj.box, size=size):
        yield field, f"box {obj.box} is not inside the image of {size} (height, width)"
    elif min(obj.box[2] - obj.box[0], obj.box[3] - obj.box[1]) < 1:
        yield field, f"box {obj.box} is thinner than one pixel"
    if obj.mask is None:
        return
    if obj.mask.size != size:
        yield field, f"mask has the size {obj.mask.size}, the image has {size} (height, width)"
    try:
        masks.check_runs(obj.mask)
    except ValueError as error:
        yield field, str(error)
        return
    if masks.area(obj.mask) == 0:
        yield field, "mask is empty"


def _spans(sample: Sample) -> Iterator[Violation]:
    for index, turn in enumerate(sample.turns):
        cursor = 0
        for span in turn.spans:
            field = f"turns[{index}].spans[{span.start}:{span.end}]"
            yield from _span(span, turn, field, sample)
            if span.start < cursor:
                yield field, f"starts before {cursor}, where the previous span ends"
            cursor = max(cursor, span.end)


def _span(span: Span, turn: Turn, field: str, sample: Sample) -> Iterator[Violation]:
    length = len(turn.text or "")
    if not 0 <= span.start <= span.end <= length:
        yield field, f"is outside the text of {length} characters"
    if (span.start == span.end) != (span.kind is SpanKind.SEG_ONLY):
        yield (
            field,
            f"only a span of the kind {SpanKind.SEG_ONLY} is empty; this one has {span.end - span.start} characters and the kind {span.kind}",
        )
    if (span.kind is SpanKind.REGION) != (turn.role == "user"):
        yield field, f"the kind {span.kind} is not allowed in a turn of the {turn.role}"
    if not span.object_ids:
        yield field, "refers to no object"
    yield from _references(
        span.object_ids, field, sample, needs_mask=span.kind is not SpanKind.REGION
    )


def _targets(sample: Sample) -> Iterator[Violation]:
    for index, target in enumerate(sample.targets):
        field = f"targets[{index}]"
        yield from _region(target, field, sample)
        needs_mask = sample.task is not Task.REGION_CAPTIONING
        yield from _references(target.object_ids, field, sample, needs_mask=needs_mask)


def _region(target: Target, field: str, sample: Sample) -> Iterator[Violation]:
    if sample.task is Task.REGION_CAPTIONING and len(target.object_ids) != 1:
        yield field, f"a region must be one object, not {len(target.object_ids)}"


def _references(
    ids: tuple[int, ...], field: str, sample: Sample, *, needs_mask: bool
) -> Iterator[Violation]:
    objects = objects_by_id(sample.objects)
    for id_ in ids:
        if id_ not in objects:
            yield field, f"refers to object {id_}, which does not exist"
        elif needs_mask and objects[id_].mask is None:
            yield field, f"refers to object {id_}, which has no mask"


_SAMPLE_RULES: tuple[Rule, ...] = (_shape, _texts, _object_ids, _spans, _targets)
