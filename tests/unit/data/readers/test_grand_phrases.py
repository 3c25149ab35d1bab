import pytest

from glamm.data.readers.grand_phrases import Phrase, expressions, ground_caption
from glamm.structures.issue import IssueLog
from glamm.structures.sample import Obj
from tests.builders.data import OBJECTS

BOXED = Obj(id=9, box=(1.0, 1.0, 5.0, 5.0))


def ground(text, *phrases):
    issues = IssueLog("a.json", "1")
    caption = ground_caption(text, phrases, (*OBJECTS, BOXED), issues, "dense_caption")
    return caption, [issue.reason for issue in issues]


def test_phrases_are_located_whatever_the_file_states():
    caption, reasons = ground("A cube and a ball.", Phrase("a ball", (1,), [0, 6]))

    [span] = caption.spans
    assert (span.start, span.end, span.object_ids) == (11, 17, (1,))
    assert reasons == []


def test_phrase_that_is_not_in_the_caption_is_an_issue():
    caption, reasons = ground("A cube.", Phrase("a dog", (0,), None))

    assert caption.absent == ("a dog",)
    assert caption.spans == ()
    assert reasons == ["'a dog' is not in the caption"]


@pytest.mark.parametrize("number", [9, 77], ids=["without a mask", "unknown"])
def test_phrase_is_trained_only_with_masks(number):
    caption, reasons = ground("A cube.", Phrase("cube", (number,), None))

    assert [phrase.text for phrase, _ in caption.located] == ["cube"]
    assert caption.spans == ()
    assert reasons == [f"'cube' means objects [{number}] that have no mask"]


def test_shorter_of_two_overlapping_phrases_is_dropped():
    caption, reasons = ground("A cube.", Phrase("cube", (0,), None), Phrase("a cube", (1,), None))

    assert [span.object_ids for span in caption.spans] == [(1,)]
    assert reasons == ["'cube' overlaps a longer phrase"]


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ((), ()),
        (("shiny",), ("shiny",)),
        (("shiny", "a red cube"), ("a red cube",)),
        (("shiny", "large"), ("shiny",)),
    ],
    ids=["none", "single", "with a label", "without a label"],
)
def test_attributes_that_name_the_object(attributes, names):
    obj = Obj(id=1, box=(1.0, 1.0, 5.0, 5.0), labels=("red_cube",), attributes=attributes)

    assert expressions(obj) == names
