"""SentencePiece with GLaMM's added tokens, and for every token the characters that it came from."""

import re
from dataclasses import dataclass
from pathlib import Path

import sentencepiece

from glamm.errors import CheckpointError
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID
from glamm.text.special_tokens import ADDED_TOKENS, BEGIN, END, IMAGE, UNKNOWN

_META_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how SentencePiece writes a blank


@dataclass(frozen=True, slots=True)
class Encoding:
    """Tokens and where they come from.

    Args:
        ids: Token ids; the picture is one IMAGE_PLACEHOLDER_ID.
        starts: First code point of the text that each token covers; the begin token covers none.
    """

    ids: tuple[int, ...]
    starts: tuple[int, ...]


class Tokenizer:
    """A LLaMA vocabulary plus `ADDED_TOKENS`.

    Args:
        model: A serialised SentencePiece model.

    Upstream: equal to the slow LlamaTokenizer of transformers 4.28 with which the release was trained: blanks around
        an added token vanish, and every stretch of text between two of them starts with the dummy blank. Faster
        tokenizers of later versions keep those blanks, which is the usual cause of the release's length assertion.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError(
                f"the tokenizer is not a SentencePiece model ({len(model)} bytes): copy tokenizer.model again"
            ) from error
        first_added = self._pieces.GetPieceSize()
        self._added = {token: first_added + index for index, token in enumerate(ADDED_TOKENS)}
        self._control = {token: self._pieces.PieceToId(token) for token in (BEGIN, END, UNKNOWN)}
        special = (*self._added, *self._control, IMAGE)
        self._split = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self._names = {index: token for token, index in (self._added | self._control).items()}

    @classmethod
    def from_file(cls, path: Path) -> "Tokenizer":
        """Read a tokenizer.model.

        Raises:
            CheckpointError: The file is missing or is no SentencePiece model.
        """
        try:
            model = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
        return cls(model)

    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return self._pieces.GetPieceSize() + len(self._added)

    def token_id(self, token: str) -> int:
        """Look up a special token by name.

        Raises:
            KeyError: It is not one.
        """
        return (self._added | self._control)[token]

    def encode(self, text: str) -> Encoding:
        """Turn a prompt into tokens, with the begin token first.

        Args:
            text: May hold special tokens and one `<image>`.

        Returns:
            Ids with the position in `text` that each came from.
        """
        ids, starts = [self._control[BEGIN]], [0]
        cursor = 0
        for index, piece in enumerate(self._split.split(text)):
            if index % 2:  # a special token
                ids.append(self._special_id(piece))
                starts.append(cursor)
            else:
                self._encode_words(piece, cursor, ids, starts)
            cursor += len(piece)
        return Encoding(tuple(ids), tuple(starts))

    def decode(self, ids: tuple[int, ...] | list[int]) -> str:
        """Turn generated ids into text; special tokens are written with a blank around them, control tokens not at all."""
        parts: list[str] = []
        words: list[int] = []
        for index in ids:
            name = self._names.get(index)
            if name is None and 0 <= index < self._pieces.GetPieceSize():
                words.append(index)
                continue
            if words:
                parts.append(self._plain(words))
                words = []
            if name is not None and name not in self._control:
                parts.append(name)
        if words:
            parts.append(self._plain(words))
        return " ".join(part for part in parts if part)

    def _plain(self, ids: list[int]) -> str:
        """Words without reserved ones that were spelt out in ordinary pieces: those would read as tokens."""
        return self._split.sub("", self._pieces.DecodeIds(ids))

    def _special_id(self, token: str) -> int:
        if token == IMAGE:
            return IMAGE_PLACEHOLDER_ID
        return self.token_id(token)

    def _encode_words(self, piece: str, cursor: int, ids: list[int], starts: list[int]) -> None:
        words = piece.strip()
        if not words:
            return
        cursor += len(piece) - len(piece.lstrip())
        pieces = self._pieces.encode(words, return_type="offset_mapping")
        ids.extend(pieces["ids"])
        starts.extend(cursor + start for start, _ in pieces["offsets"])


def embedded_tokenizer() -> Tokenizer:
    """The small English vocabulary that `tiny` models use; made by scripts/train_tokenizer.py."""
    return Tokenizer.from_file(Path(__file__).parent / "assets" / "tokenizer.model")
