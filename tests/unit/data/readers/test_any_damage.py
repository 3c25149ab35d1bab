"""However the files of a data set are damaged, its reader yields valid records and issues, or raises one DataError."""

import copy
import json
import pickle  # noqa: TID251 - rewrites the references of RefCOCO
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glamm.data.inspection.as_read.describe import describe
from glamm.data.inspection.as_read.tables import tables_json
from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_splits
from glamm.data.preparation.validate import find_issues
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.structures.issue import Issue
from tests.builders.data import FORMATS
from tests.builders.own_data import OWN

NAMES = sorted({path.name for path in FORMATS.iterdir()} | OWN.keys())
JUNK = st.sampled_from([
    None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), -1e308, 1e9, "", "x", "\ud800", "a" * 500,
    "../../etc/passwd", "/etc/passwd", "a\0b", "<image>", "[SEG]", [], [[]], [None], {}, {"a": 1}, [1, 2, 3, 4],
    [[1, 2], [3, 4]], [[1, 2, 3]], {"size": [1, 1], "counts": "x"}, {"size": [2, 2], "counts": [4]},
    {"size": [10**9, 10**9], "counts": ""}, [[0, 0, 1e7, 1e7, 5, 5]], [[1, 1] * 3], [-1],
])  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def data_set(request, tmp_path_factory):
    """A copy of a data set that may be changed, and the original content of its files."""
    root = tmp_path_factory.mktemp("set")
    if request.param in OWN:
        OWN[request.param](root)
    else:
        shutil.copytree(FORMATS / request.param / "root", root, dirs_exist_ok=True)
    kinds = {".json", ".p", ".jsonl", ".xml", ".png", ".mdb", ".txt"}
    files = sorted(path for path in root.rglob("*") if path.suffix in kinds)
    return request.param, root, {path: path.read_bytes() for path in files}


def paths(value, path=()):
    """Paths of all values inside a JSON value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, part in inner:
        yield from paths(part, (*path, key))


def changed(value, data):
    """A copy of a value with one of its parts replaced, removed or repeated."""
    value = copy.deepcopy(value)
    *path, last = data.draw(st.sampled_from(list(paths(value)) or [()])) or [None]
    owner = value
    for key in path:
        owner = owner[key]
    if last is None:
        return data.draw(JUNK)
    kind = data.draw(st.sampled_from(["replace", "replace", "drop", "repeat"]))
    if kind == "drop":
        del owner[last]
    elif kind == "repeat" and isinstance(owner, list):
        owner.append(copy.deepcopy(owner[last]))
    else:
        owner[last] = data.draw(JUNK)
    return value


def damaged(path: Path, content: bytes, data) -> bytes:
    if data.draw(st.booleans()):
        if path.suffix == ".json":
            return json.dumps(changed(json.loads(content), data)).encode()
        if path.suffix == ".p":
            return pickle.dumps(changed(pickle.loads(content), data), 2)  # noqa: S301 - our own
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in content.splitlines()]
            return "\n".join(map(json.dumps, changed(lines, data))).encode()
    edits = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=20)
    content = bytearray(content)
    for index, value in data.draw(edits):
        content[index] = value
    return bytes(content[: data.draw(st.integers(0, len(content)))])


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_damage_is_a_data_error_or_an_issue(data_set, data):
    name, root, files = data_set
    path = data.draw(st.sampled_from(sorted(files)))
    reader = READERS_BY_NAME[name]
    path.write_bytes(damaged(path, files[path], data))
    try:
        reader.exists_in(root)
        items = list(read_splits(reader, root))
        tables, table_issues = tables_json(reader, root)
        result = describe(reader, root, [*items, *table_issues]) | tables
        text = json.dumps(result, ensure_ascii=False)
    finally:
        path.write_bytes(files[path])

    assert text
    for item in items:
        assert isinstance(item, CheckedRecord | Issue)
        if isinstance(item, Issue):
            assert str(item).encode()
            assert item.reason
            assert item.location.file
        elif item.record.is_trainable:
            assert not [
                issue
                for sample in item.record.samples
                for issue in find_issues(sample, item.record.location)
            ]
