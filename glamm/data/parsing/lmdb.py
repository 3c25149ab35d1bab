"""LMDB's `data.mdb`, read page by page. Every pointer is checked, so a damaged file raises an error.

The LMDB library maps the file into memory and follows its pointers unchecked: a damaged file can crash the process.

Source: the on-disk structures of LMDB 0.9 (`lmdb.h`, `mdb.c`), 64 bits, little-endian.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from glamm.errors import DataError

# page number, padding, flags, lower and upper bound of free space
_HEADER = struct.Struct("<QHHHH")
# padding, flags, depth, branch pages, leaf pages, overflow pages, entries, root
_DATABASE = struct.Struct("<IHHQQQQQ")
# magic, version, address, size of the map
_META = struct.Struct("<IIQQ")
# low and high half of a size or page number, flags, length of the key
_NODE = struct.Struct("<HHHH")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8  # flags of pages
_BIG, _SUB, _DUPLICATES = 1, 2, 4  # flags of nodes
_NO_PAGE = (1 << 64) - 1
_PAGE_SIZES = {1 << bits for bits in range(8, 17)}
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class _Node:
    """An entry of a page.

    Args:
        key: As stored; empty for the first entry of a branch.
        flags: Of the node; 0 on a branch.
        number: Size of the value in bytes on a leaf, number of the child page on a branch.
        payload: The value on a leaf, or the number of the overflow page that holds it; empty on a branch.
    """

    key: bytes
    flags: int
    number: int
    payload: bytes


class LmdbFile:
    """The main database of an LMDB environment, read only.

    Args:
        path: The environment's `data.mdb`.

    Raises:
        DataError: The file cannot be read, is no LMDB file, or is damaged. Every method may raise it too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._visited = 0
        try:
            self._file = path.open("rb")
            self._size = path.stat().st_size
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", file=path) from error
        try:
            self._page_size, self._root, self._num_entries = self._newest_root()
        except DataError:
            self._file.close()
            raise

    def __enter__(self) -> "LmdbFile":
        """The file stays open until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values in the order of the keys."""
        self._visited = 0
        if self._root != _NO_PAGE:
            count = 0
            for item in self._walk(self._root, 0):
                count += 1
                yield item
            if count != self._num_entries:
                raise self._error(f"it holds {count} entries, its header says {self._num_entries}")

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None where there is no such key."""
        number = self._root
        for _ in range(_MAX_DEPTH):
            if number == _NO_PAGE:
                return None
            flags, nodes = self._page(number)
            if flags & _LEAF:
                match = next((node for node in nodes if node.key == key), None)
                return self._value(match) if match else None
            after = bisect_right([node.key for node in nodes[1:]], key)
            number = nodes[after].number
        raise self._error("its tree does not end")

    def _walk(self, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
        self._visited += 1
        if depth > _MAX_DEPTH or self._visited > self._size // self._page_size:
            raise self._error("its tree does not end")
        flags, nodes = self._page(number)
        for node in nodes:
            if flags & _LEAF:
                yield node.key, self._value(node)
            else:
                yield from self._walk(node.number, depth + 1)

    def _newest_root(self) -> tuple[int, int, int]:
        first = self._read(0, _HEADER.size + _META.size + 2 * _DATABASE.size + 16)
        page_size = _DATABASE.unpack_from(first, _HEADER.size + _META.size)[0]
        if page_size not in _PAGE_SIZES:
            raise self._error(f"its pages have {page_size} bytes")
        return page_size, *max(self._meta(0), self._meta(page_size))[1:]

    def _meta(self, offset: int) -> tuple[int, int, int]:
        """Transaction, root page and number of entries of one of the two headers; the newer header is valid."""
        data = self._read(offset, _HEADER.size + _META.size + 2 * _DATABASE.size + 16)
        magic, version, _, _ = _META.unpack_from(data, _HEADER.size)
        if not _HEADER.unpack_from(data)[2] & _META_PAGE or (magic, version) != (_MAGIC, _VERSION):
            raise self._error(f"there is no header at byte {offset}")
        main = _HEADER.size + _META.size + _DATABASE.size
        num_entries, root = _DATABASE.unpack_from(data, main)[6:8]
        transaction = struct.unpack_from("<Q", data, main + _DATABASE.size + 8)[0]
        return transaction, root, num_entries

    def _page(self, number: int) -> tuple[int, list[_Node]]:
        data = self._read(number * self._page_size, self._page_size)
        page_number, _, flags, lower, _ = _HEADER.unpack_from(data)
        if (
            page_number != number
            or not flags & (_BRANCH | _LEAF)
            or flags & (_OVERFLOW | _META_PAGE)
        ):
            raise self._error(f"page {number} is not a page of its tree")
        if not _HEADER.size <= lower <= self._page_size or lower % 2:
            raise self._error(f"page {number} has an invalid bound")
        offsets = struct.unpack_from(f"<{(lower - _HEADER.size) // 2}H", data, _HEADER.size)
        is_leaf = bool(flags & _LEAF)
        nodes = [self._node(data, offset, number, is_leaf=is_leaf) for offset in offsets]
        if not nodes:
            raise self._error(f"page {number} is empty")
        return flags, nodes

    def _node(self, data: bytes, offset: int, number: int, *, is_leaf: bool) -> _Node:
        if offset + _NODE.size > len(data):
            raise self._error(f"page {number} has an offset outside itself")
        low, high, flags, length = _NODE.unpack_from(data, offset)
        start = offset + _NODE.size
        if start + length > len(data):
            raise self._error(f"a key of page {number} does not fit in it")
        key = data[start : start + length]
        if not is_leaf:
            return _Node(key, 0, low | high << 16 | flags << 32, b"")
        size = low | high << 16
        num_bytes = 8 if flags & _BIG else size
        payload = data[start + length : start + length + num_bytes]
        if len(payload) < num_bytes:
            raise self._error(f"a value of page {number} does not fit in it")
        return _Node(key, flags, size, payload)

    def _value(self, node: _Node) -> bytes:
        if node.flags & (_SUB | _DUPLICATES):
            raise self._error("it has nested databases, which are not read")
        if not node.flags & _BIG:
            return node.payload
        number = int.from_bytes(node.payload, "little")
        offset = number * self._page_size
        page_number, _, flags, _, _ = _HEADER.unpack(self._read(offset, _HEADER.size))
        if page_number != number or not flags & _OVERFLOW:
            raise self._error(f"page {number} is no overflow page")
        return self._read(offset + _HEADER.size, node.number)

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._size:
            raise self._error(f"it ends before byte {offset + size}")
        self._file.seek(offset)
        return self._file.read(size)

    def _error(self, reason: str) -> DataError:
        return DataError(f"is no readable LMDB file: {reason}", file=self._path)
