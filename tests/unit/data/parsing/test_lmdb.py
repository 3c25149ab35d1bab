"""The golden file was written by the LMDB library: 300 keys, one value of several pages, every third key deleted."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glamm.data.parsing.lmdb import LmdbFile
from glamm.errors import DataError

TABLE = Path(__file__).parents[3] / "goldens/data/lmdb/data.mdb"
WRITTEN = {b"key%03d" % i: (b"%d" % i) * (3000 if i == 7 else i % 40) for i in range(300) if i % 3}
BYTES = TABLE.read_bytes()


def test_all_entries_are_read_in_key_order():
    with LmdbFile(TABLE) as table:
        assert list(table.items()) == sorted(WRITTEN.items())


@pytest.mark.parametrize(
    "key",
    [b"key007", b"key299", b"key000", b"", b"zzz"],
    ids=["several pages", "last", "deleted", "empty", "absent"],
)
def test_get_returns_the_value_or_none(key):
    with LmdbFile(TABLE) as table:
        assert table.get(key) == WRITTEN.get(key)


@given(
    changes=st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), max_size=40),
    kept=st.integers(0, len(BYTES)),
)
def test_damaged_file_is_at_most_an_error(tmp_path_factory, changes, kept):
    path = tmp_path_factory.mktemp("lmdb") / "data.mdb"
    data = bytearray(BYTES)
    for index, value in changes:
        data[index] = value
    path.write_bytes(data[:kept])

    entries = []
    with suppress(DataError), LmdbFile(path) as table:
        table.get(b"key100")
        entries = list(table.items())

    assert len(entries) <= 400


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100_000, BYTES[:4096]], ids=["empty", "text", "truncated"]
)
def test_file_that_is_no_lmdb_file_is_an_error(tmp_path, content):
    path = tmp_path / "data.mdb"
    path.write_bytes(content)

    with (
        pytest.raises(DataError, match=r"data\.mdb: is no readable LMDB file"),
        LmdbFile(path) as table,
    ):
        list(table.items())
