from hypothesis import given
from hypothesis import strategies as st

from glamm.structures.sample import Span, SpanKind
from glamm.text.grounded import parse_grounded, render_grounded

WORD = st.text(alphabet="abcdé漢\N{GRINNING FACE}", min_size=1, max_size=6)


@st.composite
def grounded_texts(draw):
    """Words separated by single blanks, some of them phrases; punctuation may end the text."""
    words = draw(st.lists(WORD, min_size=1, max_size=10))
    text, spans, cursor = "", [], 0
    while cursor < len(words):
        count = draw(st.integers(1, 3))
        chunk = " ".join(words[cursor : cursor + count])
        text += " " if text else ""
        if draw(st.booleans()):
            spans.append((len(text), len(text) + len(chunk), len(spans)))
        text += chunk
        cursor += count
    return text + draw(st.sampled_from(["", ".", "!"])), spans


def made(case):
    """Spans are created in the test: type checks draw random numbers, which hypothesis forbids in a strategy."""
    text, spans = case
    return text, tuple(Span(start, end, SpanKind.SEG, (number,)) for start, end, number in spans)


@given(case=grounded_texts())
def test_parse_is_inverse_of_render(case):
    text, spans = made(case)

    parsed = parse_grounded(render_grounded(text, spans))

    assert parsed.text == text
    assert parsed.ranges == tuple((span.start, span.end) for span in spans)


@given(case=grounded_texts())
def test_rendered_text_has_one_seg_per_span_in_order(case):
    text, spans = made(case)

    rendered = render_grounded(text, spans)

    assert rendered.count("[SEG]") == rendered.count("<p>") == rendered.count("</p>") == len(spans)
    phrases = [part.split("<p> ")[1] for part in rendered.split(" </p> [SEG]")[:-1]]
    assert phrases == [text[span.start : span.end] for span in spans]


@given(
    parts=st.lists(
        st.sampled_from(["<p>", "</p>", "[SEG]", "<bbox>", "<im_start>", " ", "cube", ",", "."]),
        max_size=14,
    )
)
def test_any_generated_text_is_parsed(parts):
    parsed = parse_grounded("".join(parts))

    assert len(parsed.ranges) == parts.count("[SEG]")
    assert all(0 <= start <= end <= len(parsed.text) for start, end in parsed.ranges)
    assert "[SEG]" not in parsed.text
    assert "<p>" not in parsed.text
    assert parse_grounded(parsed.text).text == parsed.text


def test_mask_without_phrase_and_region_are_rendered():
    text = "It is here."

    seg_only = render_grounded(text, [Span(6, 6, SpanKind.SEG_ONLY, (0,))])
    region = render_grounded("What is this thing?", [Span(13, 18, SpanKind.REGION, (3,))])

    assert seg_only == "It is [SEG]here."
    assert region == "What is this thing <bbox>?"


def test_text_of_an_unclosed_phrase_is_kept():
    parsed = parse_grounded("A <p> cube [SEG] and </p> ball")

    assert parsed.text == "A cube and ball"
    assert parsed.ranges == ((6, 6),)
