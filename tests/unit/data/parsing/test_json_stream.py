import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.data.parsing.json_stream import read_json, stream_list
from glamm.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    values=st.lists(VALUES, max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_=st.booleans(),
    block_size=st.integers(1, 9),
)
def test_stream_yields_what_reading_the_whole_file_gives(
    tmp_path_factory, values, indent, ascii_, block_size
):
    path = tmp_path_factory.mktemp("json") / "list.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_), encoding="utf-8")

    assert list(stream_list(path, block_size=block_size)) == values


@given(cut=st.floats(0, 0.999), block_size=st.integers(1, 40))
def test_stream_of_a_truncated_file_ends_with_an_error(tmp_path_factory, cut, block_size):
    path = tmp_path_factory.mktemp("json") / "list.json"
    text = json.dumps([{"a": 1, "b": "text"}] * 3)
    path.write_text(text[: int(cut * len(text))])

    with pytest.raises(DataError, match=r"is not the expected JSON"):
        list(stream_list(path, block_size=block_size))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a list"),
        (b'{"a": 1}', "must be a list"),
        (b"[1 2]", r"expected ',' or '\]' after a record at line 1 \(character 3\)"),
        (b"[1]\n[2]", r"more after the end of the list at line 2 \(character 4\)"),
        (b'[1,\n2,\n{"a" 3}]', r"line 3 \(character 12\)"),
        (b"[" + b"1" * 5000 + b"]", "Exceeds the limit"),
        (b"[" * 100_000, "nested too deeply|Expecting value"),
    ],
    ids=["empty", "object", "no comma", "two lists", "no colon", "long number", "deep"],
)
def test_error_in_a_list_has_its_position(tmp_path, content, message):
    path = tmp_path / "list.json"
    path.write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        list(stream_list(path))

    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', r"line 1, column 7 \(character 6\)"),
        (b"1" * 5000, "Exceeds the limit"),
        (b"\xff", "line 1, column 1"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=["truncated", "long number", "not utf-8", "deep"],
)
def test_error_in_a_file_has_its_position(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        read_json(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none.json: cannot be read"):
        read_json(tmp_path / "none.json")


def test_invalid_utf8_becomes_lone_surrogates(tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(b'["caf\xe9", "tea"]')

    assert list(stream_list(path)) == read_json(path) == ["caf\udce9", "tea"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_mark_at_the_start_says_the_encoding(tmp_path, encoding):
    path = tmp_path / "file.json"
    path.write_text('[{"a": "caf\u00e9 \U0001f600"}, 2]', encoding=encoding)

    assert read_json(path) == [{"a": "caf\u00e9 \U0001f600"}, 2]
    assert list(stream_list(path, block_size=3)) == read_json(path)
