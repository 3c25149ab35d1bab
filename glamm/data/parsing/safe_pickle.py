"""Pickles of plain values: lists, dicts, strings and numbers. Anything else is refused and never executed."""

import io
import struct
from pathlib import Path
from pickle import UnpicklingError, _Unpickler  # noqa: TID251 - may build plain values only, see `find_class`
from typing import Any, NoReturn

from glamm.errors import DataError

_DAMAGED = (UnpicklingError, struct.error, ArithmeticError, AttributeError, LookupError, MemoryError,
            RecursionError, TypeError, ValueError, EOFError, AssertionError)  # fmt: skip
"""What the unpickler raises on invalid bytes."""


class _PlainUnpickler(_Unpickler):
    """The pure Python unpickler, a private class of the standard library.

    Its memory is bounded by the size of the file, which the C unpickler does not guarantee. Check it on every new
    Python version.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        raise DataError(
            f"refers to {module}.{name}, but only plain values are read: download the file again"
        )

    def persistent_load(self, pid: object) -> NoReturn:
        raise DataError(
            f"refers to an external object ({str(pid)[:80]}), but only plain values are read"
        )


def read_plain_pickle(path: Path) -> Any:  # noqa: ANN401 - a pickle is any
    """Read a pickle of plain values.

    Byte strings of Python 2 are decoded as UTF-8; bytes that are not UTF-8 become lone surrogates, which
    `json_fields.text` refuses.

    Raises:
        DataError: The file cannot be read, is damaged, or refers to anything but plain values.
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
            f"is no readable pickle ({error or type(error).__name__})", file=path
        ) from error
