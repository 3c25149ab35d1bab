import re
from dataclasses import replace

import pytest

from glamm.data.preparation.validate import find_issues
from glamm.structures.sample import Mask, Obj, Span, SpanKind, Target, Task, Turn
from tests.builders.data import (
    LOCATION,
    OBJECTS,
    caption,
    grounded,
    obj,
    rectangle,
    referring,
    regions,
)


@pytest.mark.parametrize(
    "sample_of",
    [grounded, referring, regions, caption],
    ids=["grounded", "referring", "regions", "caption"],
)
def test_valid_sample_has_no_issue(sample_of):
    assert find_issues(sample_of(), LOCATION) == []


TEXT = "A cube by two balls."
QUESTION = Turn("user", None)


def answer(*spans, text=TEXT):
    return grounded(turns=(QUESTION, Turn("assistant", text, spans)))


def with_object(**values):
    return grounded(objects=(replace(OBJECTS[0], **values), *OBJECTS[1:]))


SEG = SpanKind.SEG
CASES = {
    "no_content": (grounded(turns=()), "either turns or targets"),
    "both": (replace(referring(), turns=grounded().turns), "either turns or targets"),
    "targets_of_a_caption": (
        replace(referring(), task=Task.IMAGE_CAPTIONING),
        "must have turns, not targets",
    ),
    "no_answer": (grounded(turns=(QUESTION,)), "no answer"),
    "two_questions": (
        grounded(turns=(QUESTION, QUESTION)),
        "has the role 'user' instead of 'assistant'",
    ),
    "answer_without_text": (grounded(turns=(QUESTION, Turn("assistant", None))), "has no text"),
    "empty_text": (answer(text=" "), "is empty"),
    "decomposed_text": (answer(text="cafe\u0301"), "composed"),
    "span_past_the_end": (answer(Span(0, 99, SEG, (0,))), "outside the text of 20"),
    "span_before_the_start": (answer(Span(-2, 4, SEG, (0,))), "outside the text"),
    "overlap": (answer(Span(0, 6, SEG, (0,)), Span(5, 9, SEG, (1,))), "starts before 6"),
    "wrong_order": (answer(Span(10, 12, SEG, (0,)), Span(0, 6, SEG, (1,))), "starts before 12"),
    "empty_span": (answer(Span(3, 3, SEG, (0,))), "only a span of the kind seg_only is empty"),
    "span_without_object": (answer(Span(0, 6, SEG, ())), "refers to no object"),
    "unknown_object": (answer(Span(0, 6, SEG, (77,))), "refers to object 77"),
    "region_in_an_answer": (
        answer(Span(0, 6, SpanKind.REGION, (0,))),
        "not allowed in a turn of the assistant",
    ),
    "mask_in_a_question": (
        grounded(turns=(Turn("user", "cube?", (Span(0, 4, SEG, (0,)),)), Turn("assistant", "yes"))),
        "not allowed in a turn of the user",
    ),
    "object_without_mask": (with_object(mask=None), "object 0, which has no mask"),
    "mask_of_another_size": (
        with_object(mask=rectangle(0, 0, 2, 2, (9, 9))),
        r"mask has the size \(9, 9\)",
    ),
    "empty_mask": (with_object(mask=rectangle(0, 0, 0, 0)), "mask is empty"),
    "runs_that_do_not_fill": (with_object(mask=Mask((24, 32), b"5")), "runs add up to 5"),
    "invalid_runs": (with_object(mask=Mask((24, 32), b"\xff")), "no run-length code"),
    "box_outside": (with_object(box=(0.0, 0.0, 33.0, 5.0)), "not inside the image"),
    "box_reversed": (with_object(box=(9.0, 0.0, 3.0, 5.0)), "not inside the image"),
    "box_of_no_number": (with_object(box=(0.0, 0.0, float("nan"), 5.0)), "not inside the image"),
    "thin_box": (with_object(box=(1.0, 1.0, 1.5, 9.0)), "thinner than one pixel"),
    "same_id_twice": (grounded(objects=(*OBJECTS, obj(0, 1, 1, 4, 4))), "same id"),
    "region_of_two": (
        replace(regions(), targets=(Target("both", (0, 1)),)),
        "must be one object, not 2",
    ),
    "target_without_mask": (
        replace(
            referring(), objects=(Obj(0, (1.0, 1.0, 5.0, 5.0)),), targets=(Target("it", (0,)),)
        ),
        "which has no mask",
    ),
}


@pytest.mark.parametrize(("sample", "reason"), CASES.values(), ids=CASES)
def test_violation_is_named(sample, reason):
    issues = find_issues(sample, LOCATION)

    assert any(re.search(reason, issue.reason) for issue in issues), issues
