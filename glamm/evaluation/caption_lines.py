"""Captions on one line each, as the tokenizer needs them."""

_SEPARATORS = {
    "\r": "CR",
    "\x0b": "VT",
    "\x0c": "FF",
    "\x85": "U+0085",
    "\u2028": "U+2028",
    "\u2029": "U+2029",
}


def one_line(text: str) -> tuple[str, str]:
    """Replace what the tokenizer takes for the end of a line, and say what it was.

    Upstream: the release replaces line feeds only; any other separator shifts every later caption against its
        reference. Replaced in both modes, and named.
    """
    found = [name for sign, name in _SEPARATORS.items() if sign in text]
    for sign in _SEPARATORS:
        text = text.replace(sign, " ")
    return text, ", ".join(found)
