"""Texts that the Java programs take: valid Unicode, without line separators, which would be the end of a caption."""

import re
from typing import Any

_SEPARATORS = {
    "\r": "CR",
    "\x0b": "VT",
    "\x0c": "FF",
    "\x85": "U+0085",
    "\u2028": "U+2028",
    "\u2029": "U+2029",
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def replace_line_separators(text: str) -> tuple[str, str]:
    """Replace every character that the tokenizer takes for the end of a line by a space.

    Returns:
        The text, and the names of the replaced characters; empty if there were none.

    Upstream: the release replaces line feeds only; any other separator shifts every later caption against its
        reference. Replaced in both modes, and reported.
    """
    names = [name for separator, name in _SEPARATORS.items() if separator in text]
    for separator in _SEPARATORS:
        text = text.replace(separator, " ")
    return text, ", ".join(names)


def replace_surrogates(record: object, *fields: str) -> tuple[Any, str]:
    """Replace what is no Unicode text, such as half a character or bytes that are not UTF-8, by U+FFFD.

    Args:
        record: A JSON object; another value is left as it is.
        fields: Those of its texts and lists of texts that are shown to readers and scored.

    Returns:
        The record, and the names of the replaced characters; empty if there were none.

    Upstream: the release ends with an exception at the first such caption.
    """
    if not isinstance(record, dict):
        return record, ""
    names: set[str] = set()

    def clean(value: object) -> object:
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, str):
            names.update(f"U+{ord(character):04X}" for character in _SURROGATES.findall(value))
            return _SURROGATES.sub("\ufffd", value)
        return value

    cleaned = {key: clean(value) if key in fields else value for key, value in record.items()}
    return cleaned, ", ".join(sorted(names))
