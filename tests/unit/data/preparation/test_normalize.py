import unicodedata
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from glamm.data.preparation.normalize import settle
from glamm.data.preparation.validate import find_issues
from glamm.structures.sample import Span, SpanKind, Turn
from tests.builders.data import LOCATION, OBJECTS, grounded


def with_answer(text, *places):
    spans = tuple(Span(start, end, SpanKind.SEG, (0,)) for start, end in places)
    return grounded(turns=(Turn("user", None), Turn("assistant", text, spans)))


WORDS = st.text(alphabet="ae\u0301\u0308 xé", min_size=1, max_size=6)


@given(
    before=WORDS, words=WORDS.filter(lambda text: not unicodedata.combining(text[0])), after=WORDS
)
def test_settling_moves_spans_with_their_words(before, words, after):
    after = " " + after
    sample = with_answer(before + words + after, (len(before), len(before) + len(words)))

    turn = settle(sample).turns[1]

    [span] = turn.spans
    assert turn.text == unicodedata.normalize("NFC", before + words + after)
    assert turn.text[span.start : span.end] == unicodedata.normalize("NFC", words)


def test_settling_is_idempotent():
    once = settle(with_answer("cafe\u0301 cube", (6, 10)))

    assert settle(once) == once
    assert find_issues(once, LOCATION) == []


def test_box_that_rounding_put_outside_is_cut_and_a_wrong_one_is_not():
    near = replace(OBJECTS[0], box=(-0.4, 3.0, 10.0, 24.6))
    far = replace(OBJECTS[1], box=(8.0, 8.0, 20.0, 30.0))

    settled = settle(grounded(objects=(near, far, OBJECTS[2])))

    assert [obj.box for obj in settled.objects[:2]] == [(0.0, 3.0, 10.0, 24.0), far.box]
