"""A table written by LMDB itself: 300 keys, some values of several pages, every third key deleted again."""

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


def test_everything_that_lmdb_wrote_is_read_in_order():
    with LmdbFile(TABLE) as table:
        assert list(table.items()) == sorted(WRITTEN.items())


@pytest.mark.parametrize("key", [b"key007", b"key299", b"key000", b"", b"zzz"])
def test_a_key_is_found_or_is_not_there(key):
    with LmdbFile(TABLE) as table:
        assert table.get(key) == WRITTEN.get(key)


@given(
    changes=st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), max_size=40),
    kept=st.integers(0, len(BYTES)),
)
def test_a_damaged_table_is_an_error_and_no_crash(tmp_path_factory, changes, kept):
    path = tmp_path_factory.mktemp("lmdb") / "data.mdb"
    data = bytearray(BYTES)
    for place, value in changes:
        data[place] = value
    path.write_bytes(data[:kept])

    found = []
    with suppress(DataError), LmdbFile(path) as table:
        table.get(b"key100")
        found = list(table.items())

    assert len(found) <= 400


@pytest.mark.parametrize("content", [b"", b"x" * 100_000, BYTES[:4096]])
def test_what_is_no_table_is_named(tmp_path, content):
    path = tmp_path / "data.mdb"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"data\.mdb: is no LMDB file"), LmdbFile(path) as table:
        list(table.items())
