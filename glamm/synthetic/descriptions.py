"""Finds a short noun phrase in a line of text or a file name: "ripe red tomato" in "A ripe, red tomato!"."""

import re
from collections.abc import Callable

from glamm.synthetic.scene import NounPhrase

_MOST_WORDS = 8
_ARTICLES = {"a", "an", "another", "the"}
_DETERMINERS = {"some", "two", "three", "four", "five", "six", "several", "many"}
_MASS = {
    "balsam", "bread", "broccoli", "butter", "cheese", "corn", "garlic", "hair", "hay", "honey", "knitting",
    "meat", "milk", "money", "music", "oil", "paint", "rice", "salt", "sand", "snow", "sugar", "tape", "tea",
    "water", "wood",
}  # fmt: skip
_PLURAL_TO_THE_EYE = {
    "binoculars",
    "glasses",
    "jeans",
    "leaves",
    "pants",
    "pliers",
    "scissors",
    "shorts",
    "tails",
}
_NO_PHRASE = {
    # words of sentences that address somebody or do not describe the image
    "i", "it", "its", "me", "my", "our", "we", "you", "your", "this", "these", "here", "there",
    "boom", "hello", "no", "wow", "yum",
    "do", "dont", "eat", "let", "look", "please", "put", "remember", "say", "see", "try", "what", "who",
}  # fmt: skip
_TAIL_BEGINS = {
    # what follows describes the object without naming it
    "ahead", "are", "at", "by", "called", "carries", "carry", "covered", "eating", "for", "from", "giving",
    "has", "hatched", "have", "holding", "in", "inside", "is", "lets", "like", "made", "makes", "making", "means", "on", "onto", "over",
    "resembles", "seen", "showing", "shows", "stands", "that", "to", "under", "until", "used", "was", "were",
    "when", "where", "which", "while", "who", "with", "without", "worn",
}  # fmt: skip
_CAMERA_WORDS = {
    "copy", "cutout", "dsc", "dscn", "file", "final", "image", "img", "mirror", "mirrored", "object", "photo", "pic", "picture", "png",
    "pxl", "rgba", "scan", "screenshot", "transparent", "untitled", "unnamed",
}  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_OTHER_LANGUAGE = re.compile(r"^[a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?\.utf8=")


def phrase_from_text(text: str) -> NounPhrase | None:
    """Find the noun phrase in a description.

    Args:
        text: A whole file: the description on the first line, other languages (as "de.utf8=...") below.

    Returns:
        None for an exclamation, an order or a sentence without a name.
    """
    lines = [line for line in text.splitlines() if line.strip() and not _OTHER_LANGUAGE.match(line)]
    if not lines:
        return None
    first = re.sub(r"\([^)]*\)", "", lines[0].replace("’", "'").replace("—", ", "))  # noqa: RUF001 - as it is typed
    first = first.translate(str.maketrans("", "", '“”"‘'))  # noqa: RUF001 - as it is typed
    sentence = re.split(r"[.!?;:](?:\s|$)", first.strip(), maxsplit=1)[0]
    words = [word.strip("'") for word in _WORD.findall(_without_asides(sentence).lower())]
    return _noun_phrase(words)


def phrase_from_file_name(stem: str) -> NounPhrase | None:
    """Find the noun phrase in a file name such as "red_apple-02" or "RedApple"; None for "IMG_1234"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).replace("_", " ").replace("-", " ")
    words = [word.strip("0123456789").lower() for word in _WORD.findall(apart)]
    return _noun_phrase([word for word in words if len(word) > 1 and word not in _CAMERA_WORDS])


def _without_asides(sentence: str) -> str:
    """Drop what follows a comma, except where only adjectives came before it: "a ripe, red tomato"."""
    segments = [segment.split() for segment in sentence.split(",")]
    words = segments[0]
    if len(words) != 2 or words[0].lower() not in _ARTICLES:
        return " ".join(words)
    for segment in segments[1:]:
        if not segment or segment[0].lower() in _ARTICLES | _TAIL_BEGINS | {"also", "and", "or"}:
            break
        words = [*words, *segment]
        if len(segment) > 1:
            break  # the noun came with it
    return " ".join(words)


def _noun_phrase(words: list[str]) -> NounPhrase | None:
    words = _cut(words, at=lambda word, _: word in _TAIL_BEGINS)
    if (
        not words
        or words[0] in _TAIL_BEGINS
        or any(word.replace("'", "") in _NO_PHRASE for word in words)
    ):
        return None
    if "the" in words[1:-1] and words[0] not in _ARTICLES and "of" not in words:
        words = words[words.index("the") :]  # "George the blue groper"
    article = words[0] if words[0] in _ARTICLES | _DETERMINERS else ""
    words = words[1:] if article else words
    words = _cut(words, at=lambda word, before: word in _ARTICLES and before != "of")
    while words and words[-1] in {"and", "or", "of"} | _ARTICLES:
        words = words[:-1]
    if not words or len(words) > _MOST_WORDS or not any(word.isalpha() for word in words):
        return None
    head = words.index("of") - 1 if "of" in words[1:] else len(words) - 1
    return NounPhrase(
        noun=" ".join(words[head:]),
        adjectives=tuple(words[:head]),
        determiner=_determiner(article, words[head]),
        is_compound=True,
    )


def _cut(words: list[str], *, at: Callable[[str, str], bool]) -> list[str]:
    """Keep the words before the first one, after the beginning, that ends a name."""
    first = 2 if words and words[0] in _ARTICLES else 1
    for index in range(first, len(words)):
        if at(words[index], words[index - 1]):
            return words[:index]
    return words


def _determiner(article: str, head: str) -> str:
    if article in _DETERMINERS:
        return article
    is_countable = article in _ARTICLES or head not in _MASS | _PLURAL_TO_THE_EYE
    return "" if is_countable else "some"
