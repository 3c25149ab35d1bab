"""Captions without line separators, which the tokenizer would take for the end of a caption."""

_SEPARATORS = {
    "\r": "CR",
    "\x0b": "VT",
    "\x0c": "FF",
    "\x85": "U+0085",
    "\u2028": "U+2028",
    "\u2029": "U+2029",
}


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
