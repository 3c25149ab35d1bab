"""Pickles that hold nothing but lists, dicts, texts and numbers; anything else in them is refused, never run."""

import io
import struct
from pathlib import Path
from pickle import UnpicklingError, _Unpickler  # noqa: TID251 - may build plain values only, see `find_class`
from typing import Any, NoReturn

from glamm.errors import DataError

_DAMAGED = (UnpicklingError, struct.error, ArithmeticError, AttributeError, LookupError, MemoryError,
            RecursionError, TypeError, ValueError, EOFError, AssertionError)  # fmt: skip
"""What the unpickler raises when the bytes make no sense."""


class _PlainUnpickler(_Unpickler):
    """Python's own unpickler in Python: its memory is bounded by the file's, which that in C does not promise."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise DataError(
            f"asks for {module}.{name}; only plain values are read, nothing is run: get the file again"
        )

    def persistent_load(self, pid: object) -> NoReturn:
        raise DataError(f"points outside itself ({str(pid)[:80]}); only plain values are read")


def read_plain_pickle(path: Path) -> Any:  # noqa: ANN401 - a pickle is any
    """Read a pickle of plain values.

    Texts of Python 2 are read as UTF-8; other bytes become lone surrogates, which `fields.text` refuses.

    Raises:
        DataError: It holds something else, or it is damaged.
    """
    try:
        data = path.read_bytes()
        return _PlainUnpickler(io.BytesIO(data), encoding="utf-8", errors="surrogateescape").load()
    except DataError as error:
        raise DataError(error.reason, file=path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except _DAMAGED as error:
        raise DataError(
            f"is no pickle that can be read ({error or type(error).__name__})", file=path
        ) from error
