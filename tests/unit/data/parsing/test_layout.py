from enum import StrEnum

import pytest

from glamm.data.parsing.layout import (
    Choice,
    CocoBox,
    CornerBox,
    Id,
    Integer,
    Items,
    Layout,
    Number,
    Point,
    Rle,
    Text,
    field_path,
    parse,
)
from glamm.errors import DataError
from tests.builders.data import rectangle


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(Layout):
    bbox: CornerBox


class Example(Layout):
    name: Text
    number: Integer = 0
    score: Number | None = None
    key: Id = 0
    color: Choice[Color] = Color.RED
    coco_box: CocoBox | None = None
    mask: Rle | None = None
    points: Items[Point] = ()
    parts: Items[Part] = ()
    owner: Part | None = None


def test_parse_reads_declared_fields_and_ignores_others():
    mask = rectangle(2, 3, 10, 12)
    value = {
        "name": "cup",
        "number": 3,
        "score": 1,
        "key": "a",
        "color": "blue",
        "coco_box": [1, 2, 3, 4],
        "mask": {"size": list(mask.size), "counts": mask.counts.decode()},
        "points": [[1, 2]],
        "parts": [{"bbox": [0, 0, 1, 1]}],
        "unknown": object(),
    }

    example = parse(Example, value)

    assert (example.name, example.number, example.score, example.key) == ("cup", 3, 1.0, "a")
    assert example.color is Color.BLUE
    assert example.coco_box == (1, 2, 4, 6)
    assert example.mask == mask
    assert example.points == ((1.0, 2.0),)
    assert example.parts == (Part(bbox=[0, 0, 1, 1]),)


def test_null_counts_as_a_missing_field():
    assert parse(Example, {"name": "cup", "number": None, "parts": None}) == Example(name="cup")
    with pytest.raises(DataError, match=r"^field name: is missing$"):
        parse(Example, {"name": None})


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"number": 480.0}, "number", 480),
        ({"number": "480"}, "number", 480),
        ({"number": " -12.0 "}, "number", -12),
        ({"score": "0.25"}, "score", 0.25),
        ({"key": "12"}, "key", 12),
        ({"key": 12.0}, "key", 12),
        ({"key": "012"}, "key", "012"),
        ({"key": "sa_12"}, "key", "sa_12"),
        ({"coco_box": ["1", 2.0, "3", 4]}, "coco_box", (1, 2, 4, 6)),
    ],
    ids=str,
)
def test_numbers_may_be_floats_or_text(change, field, expected):
    value = getattr(parse(Example, {"name": "cup"} | change), field)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "1,5", "٣", "1 2"])
def test_other_text_is_no_number(text):
    with pytest.raises(DataError, match="must hold numbers, holds text"):
        parse(Example, {"name": "cup", "score": text})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "field name: must be text, is int"),
        ({"name": "caf\udce9"}, r"field name: is not valid Unicode text \('\\udce9' at character 3\)"),
        ({"number": True}, "field number: must be a whole number, is a truth value"),
        ({"number": 1.5}, "field number: must be a whole number, is float"),
        ({"number": 1 << 64}, "field number: is too large a number"),
        ({"score": "one"}, "field score: must hold numbers, holds text"),
        ({"score": float("nan")}, "field score: holds a number that is not finite"),
        ({"score": 10**400}, "field score: holds a number that is not finite"),
        ({"key": 1.5}, "field key: must be a whole number, is float"),
        ({"color": "green"}, "field color: must be 'red' or 'blue'"),
        ({"coco_box": [1, 2, 3]}, "field coco_box: must be four numbers left, top, width, height"),
        ({"mask": {"size": [2, 2]}}, "field mask: needs counts"),
        ({"points": [[1, 2], [3]]}, r"field points\[1\]\[1\]: is missing"),
        ({"points": [[1, 2, 3]]}, r"field points\[0\]: must hold 2 items, holds 3"),
        ({"points": [[1, None]]}, r"field points\[0\]\[1\]: must hold numbers"),
        ({"parts": {}}, "field parts: must be a list, is an object"),
        ({"parts": [{"bbox": [0, 0, 1, 1]}, 3]}, r"field parts\[1\]: must be an object, is int"),
        ({"parts": [{}]}, r"field parts\[0\]\.bbox: is missing"),
        ({"owner": {"bbox": [2, 0, 1, 1]}}, r"field owner\.bbox: has no area"),
    ],
    ids=[
        "text", "unicode", "truth value", "float", "large", "number", "nan", "huge", "id", "choice",
        "coco box", "mask", "half a point", "three coordinates", "null", "list", "object in a list", "missing in a list", "nested",
    ],
)  # fmt: skip
def test_first_violation_is_named_with_its_path(change, message):
    with pytest.raises(DataError, match=f"^{message}"):
        parse(Example, {"name": "cup"} | change)


def test_path_of_a_part_begins_with_the_path_of_its_record():
    with pytest.raises(DataError, match=r"^field objects\[3\]\.bbox: is missing$"):
        parse(Part, {}, "objects[3]")


def test_record_that_is_no_object_has_no_field():
    with pytest.raises(DataError, match=r"^must be an object, is a list$"):
        parse(Part, [])


@pytest.mark.parametrize(
    ("parts", "path"),
    [((), ""), (("a", 1, "b"), "a[1].b"), (("", "a"), "a"), (("a", None), "a")],
    ids=["nothing", "nested", "no prefix", "no suffix"],
)
def test_field_path_joins_names_and_indices(parts, path):
    assert field_path(*parts) == path
