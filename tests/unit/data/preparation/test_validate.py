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


@pytest.mark.parametrize("make", [grounded, referring, regions, caption])
def test_good_sample_has_no_issue(make):
    assert find_issues(make(), LOCATION) == []


TEXT = "A cube by two balls."
ASKED = Turn("user", None)


def answer(*spans, text=TEXT):
    return grounded(turns=(ASKED, Turn("assistant", text, spans)))


def with_object(**values):
    return grounded(objects=(replace(OBJECTS[0], **values), *OBJECTS[1:]))


SEG = SpanKind.SEG
CASES = {
    "no content": (grounded(turns=()), "either turns or targets"),
    "both": (replace(referring(), turns=grounded().turns), "either turns or targets"),
    "targets of a caption": (
        replace(referring(), task=Task.IMAGE_CAPTIONING),
        "has turns, not targets",
    ),
    "no answer": (grounded(turns=(ASKED,)), "no answer"),
    "two questions": (grounded(turns=(ASKED, ASKED)), "says 'user' where 'assistant' is due"),
    "answer without text": (grounded(turns=(ASKED, Turn("assistant", None))), "has no text"),
    "reserved word": (answer(text="A <p> cube"), "holds <p>"),
    "empty text": (answer(text=" "), "is empty"),
    "decomposed text": (answer(text="cafe\u0301"), "composed"),
    "span past the end": (answer(Span(0, 99, SEG, (0,))), "outside the text of 20"),
    "span before the start": (answer(Span(-2, 4, SEG, (0,))), "outside the text"),
    "overlap": (answer(Span(0, 6, SEG, (0,)), Span(5, 9, SEG, (1,))), "begins before 6"),
    "wrong order": (answer(Span(10, 12, SEG, (0,)), Span(0, 6, SEG, (1,))), "begins before 12"),
    "span of nothing": (answer(Span(3, 3, SEG, (0,))), "do not go together"),
    "span without object": (answer(Span(0, 6, SEG, ())), "means no object"),
    "unknown object": (answer(Span(0, 6, SEG, (77,))), "means object 77"),
    "region in an answer": (
        answer(Span(0, 6, SpanKind.REGION, (0,))),
        "not for a turn of the assistant",
    ),
    "mask in a question": (
        grounded(turns=(Turn("user", "cube?", (Span(0, 4, SEG, (0,)),)), Turn("assistant", "yes"))),
        "not for a turn of the user",
    ),
    "object without mask": (with_object(mask=None), "object 0, which has no mask"),
    "mask of another size": (with_object(mask=rectangle(0, 0, 2, 2, (9, 9))), r"mask is \(9, 9\)"),
    "empty mask": (with_object(mask=rectangle(0, 0, 0, 0)), "mask is empty"),
    "runs that do not fill": (with_object(mask=Mask((24, 32), b"5")), "runs add up to 5"),
    "runs of rubbish": (with_object(mask=Mask((24, 32), b"\xff")), "no run-length code"),
    "box outside": (with_object(box=(0.0, 0.0, 33.0, 5.0)), "not inside the image"),
    "box reversed": (with_object(box=(9.0, 0.0, 3.0, 5.0)), "not inside the image"),
    "box of no number": (with_object(box=(0.0, 0.0, float("nan"), 5.0)), "not inside the image"),
    "thin box": (with_object(box=(1.0, 1.0, 1.5, 9.0)), "thinner than one pixel"),
    "same id twice": (grounded(objects=(*OBJECTS, obj(0, 1, 1, 4, 4))), "same id"),
    "region of two": (replace(regions(), targets=(Target("both", (0, 1)),)), "one object, not 2"),
    "target without mask": (
        replace(
            referring(), objects=(Obj(0, (1.0, 1.0, 5.0, 5.0)),), targets=(Target("it", (0,)),)
        ),
        "which has no mask",
    ),
}


@pytest.mark.parametrize(("sample", "reason"), CASES.values(), ids=CASES)
def test_broken_rule_is_named(sample, reason):
    issues = find_issues(sample, LOCATION)

    assert any(re.search(reason, issue.reason) for issue in issues), issues
