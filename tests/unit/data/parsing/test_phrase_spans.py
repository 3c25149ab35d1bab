from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.data.parsing.phrase_spans import locate, merge_spans
from glamm.structures.sample import Span, SpanKind


@pytest.mark.parametrize(
    ("phrase", "hint", "taken", "range_"),
    [
        ("a cube", None, (), (0, 6)),
        ("A CUBE", [11, 17], (), (11, 17)),
        ("a cube", [3, 9], (), (0, 6)),
        ("a cube", None, [(0, 6)], (11, 17)),
        ("cub", None, (), (2, 5)),
        ("ball", None, (), (26, 30)),
        ("a dog", None, (), None),
        ("", None, (), None),
    ],
    ids=[
        "first",
        "by its offsets",
        "wrong offsets",
        "next free",
        "part of a word",
        "whole word",
        "absent",
        "empty",
    ],
)
def test_phrase_is_found(phrase, hint, taken, range_):
    assert locate("A cube and a cube, balls, ball", phrase, hint=hint, taken=taken) == range_


def test_offsets_count_code_points_whatever_lower_case_does():
    assert locate("İİ café \N{GRINNING FACE} cube", "CUBE") == (10, 14)


RANGES = st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda pair: (pair[0], sum(pair)))


@given(ranges=st.lists(RANGES, max_size=8))
def test_merged_spans_are_sorted_and_disjoint_and_every_object_is_kept_or_dropped(ranges):
    spans = [Span(start, end, SpanKind.SEG, (index,)) for index, (start, end) in enumerate(ranges)]

    kept, dropped = merge_spans(spans)

    assert all(first.end <= second.start for first, second in pairwise(kept))
    ids = sorted(number for span in (*kept, *dropped) for number in span.object_ids)
    assert ids == list(range(len(ranges)))
