import unicodedata
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from glamm.data.preparation.normalize import normalize_sample
from glamm.data.preparation.validate import find_issues
from glamm.structures.sample import Span, SpanKind, Turn
from tests.builders.data import LOCATION, OBJECTS, grounded


def with_answer(text, *ranges):
    spans = tuple(Span(start, end, SpanKind.SEG, (0,)) for start, end in ranges)
    return grounded(turns=(Turn("user", None), Turn("assistant", text, spans)))


TEXTS = st.text(alphabet="ae\u0301\u0308 xé", min_size=1, max_size=6)


@given(
    before=TEXTS, phrase=TEXTS.filter(lambda text: not unicodedata.combining(text[0])), after=TEXTS
)
def test_spans_cover_the_same_text_after_composition(before, phrase, after):
    after = " " + after
    sample = with_answer(before + phrase + after, (len(before), len(before) + len(phrase)))

    turn = normalize_sample(sample).turns[1]

    [span] = turn.spans
    assert turn.text == unicodedata.normalize("NFC", before + phrase + after)
    assert turn.text[span.start : span.end] == unicodedata.normalize("NFC", phrase)


def test_normalize_sample_is_idempotent():
    once = normalize_sample(with_answer("cafe\u0301 cube", (6, 10)))

    assert normalize_sample(once) == once
    assert find_issues(once, LOCATION) == []


def test_box_is_clipped_only_within_the_rounding_tolerance():
    near = replace(OBJECTS[0], box=(-0.4, 3.0, 10.0, 24.6))
    far = replace(OBJECTS[1], box=(8.0, 8.0, 20.0, 30.0))

    normalized = normalize_sample(grounded(objects=(near, far, OBJECTS[2])))

    assert [obj.box for obj in normalized.objects[:2]] == [(0.0, 3.0, 10.0, 24.0), far.box]
