"""Tokenizers with GLaMM's added tokens; they return the position in the text of every token."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import tokenizers
from pydantic import BaseModel, ValidationError
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from glamm.errors import CheckpointError
from glamm.files import stand_in
from glamm.special_tokens import (
    ADDED_TOKENS,
    BEGIN,
    END,
    IMAGE,
    UNKNOWN,
    escape_reserved_tokens,
    unescape,
)
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID

SENTENCEPIECE_FILE = "tokenizer.model"
FAST_FILE = "tokenizer.json"
NAMES_FILE = "tokenizer_config.json"
"""In foreign folders: names the tokens of tokenizer.json that begin and end a text."""

_CONTROL = (BEGIN, END, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Tokens and their positions in the text.

    Args:
        ids: Token ids; the image is one IMAGE_PLACEHOLDER_ID.
        starts: First code point of the text that each token covers; 0 for the begin token, which covers none.
    """

    ids: tuple[int, ...]
    starts: tuple[int, ...]


class Tokenizer(ABC):
    """A language model's vocabulary plus `ADDED_TOKENS`.

    Texts are the same for every model: `BEGIN`, `END` and `UNKNOWN` stand for the tokens that the vocabulary has for these
    purposes.

    Args:
        model: The content of the tokenizer's file.
        added: Ids of `ADDED_TOKENS`.
        control: Ids of `BEGIN`, `END` and `UNKNOWN`.

    Upstream: equal to the slow LlamaTokenizer of transformers 4.28 with which the release was trained: blanks around
        an added token are removed, and every segment of text between two of them starts with a dummy blank. Fast
        tokenizers of later versions keep those blanks, a frequent cause of the release's length assertion.
    """

    def __init__(
        self, model: bytes, *, added: Mapping[str, int], control: Mapping[str, int]
    ) -> None:
        self.model = model
        self._added, self._control = dict(added), dict(control)
        special = (*self._added, *self._control, IMAGE)
        self._split = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self._names = {index: token for token, index in (self._control | self._added).items()}

    @staticmethod
    def from_file(path: Path) -> "Tokenizer":
        """Read a tokenizer.model (SentencePiece) or a tokenizer.json (Hugging Face).

        Raises:
            CheckpointError: The file is missing, or is neither.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
        fault = stand_in(path)
        if fault:
            raise CheckpointError(f"{path}: {fault}")
        if path.name != FAST_FILE:
            return SentencePieceTokenizer(content)
        names = path.with_name(NAMES_FILE)
        return FastTokenizer(content, names=_read_names(names) if names.exists() else None)

    @staticmethod
    def from_folder(folder: Path) -> "Tokenizer":
        """Read the tokenizer of a model folder, ours or Hugging Face's.

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        return Tokenizer.from_file(tokenizer_path(folder))

    @abstractmethod
    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""

    @abstractmethod
    def _encode_segment(self, text: str) -> tuple[Sequence[int], Sequence[int]]:
        """Ids of plain text and the position of each in it; a dummy blank precedes the text."""

    @abstractmethod
    def _decode_segment(self, ids: list[int]) -> str:
        """Text of ordinary tokens, without the dummy blank."""

    def token_id(self, token: str) -> int:
        """Look up a special token by name.

        Raises:
            KeyError: It is not a special token.
        """
        return (self._added | self._control)[token]

    def encode(self, text: str) -> Encoding:
        """Encode a prompt, with the begin token first.

        Args:
            text: May contain special tokens and one `<image>`; those of `escape_reserved_tokens` are plain text.

        Returns:
            Ids and their positions in `text`.
        """
        ids, starts = [self._control[BEGIN]], [0]
        cursor = 0
        for index, piece in enumerate(self._split.split(text)):
            if index % 2:  # a special token
                ids.append(self._special_id(piece))
                starts.append(cursor)
            elif segment := piece.strip():
                segment_start = cursor + len(piece) - len(piece.lstrip())
                plain, indices = unescape(segment)
                new_ids, offsets = self._encode_segment(plain)
                ids.extend(new_ids)
                starts.extend(segment_start + indices[offset] for offset in offsets)
            cursor += len(piece)
        return Encoding(tuple(ids), tuple(starts))

    def decode(self, ids: tuple[int, ...] | list[int]) -> str:
        """Decode generated ids; special tokens are surrounded by blanks, control tokens are omitted.

        Special tokens that are spelled with ordinary tokens are escaped; see `escape_reserved_tokens`.
        """
        parts: list[str] = []
        segment: list[int] = []
        for index in ids:
            name = self._names.get(index)
            if name is None and 0 <= index < len(self):
                segment.append(index)
                continue
            if segment:
                parts.append(self._plain(segment))
                segment = []
            if name is not None and name not in self._control:
                parts.append(name)
        if segment:
            parts.append(self._plain(segment))
        return " ".join(part for part in parts if part)

    def _plain(self, ids: list[int]) -> str:
        """Text of ordinary tokens; special tokens that they spell are escaped, so that they are not parsed as such."""
        return escape_reserved_tokens(self._decode_segment(ids))

    def _special_id(self, token: str) -> int:
        if token == IMAGE:
            return IMAGE_PLACEHOLDER_ID
        return self.token_id(token)


class SentencePieceTokenizer(Tokenizer):
    """The vocabulary of a LLaMA; the added tokens have the highest ids.

    Args:
        model: A serialized SentencePiece model.

    Raises:
        CheckpointError: It is not a SentencePiece model.
    """

    def __init__(self, model: bytes) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError(
                f"the tokenizer is not a SentencePiece model ({len(model)} bytes): copy tokenizer.model again"
            ) from error
        first_added = self._pieces.GetPieceSize()
        super().__init__(
            model,
            added={token: first_added + index for index, token in enumerate(ADDED_TOKENS)},
            control={token: self._pieces.PieceToId(token) for token in _CONTROL},
        )

    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return self._pieces.GetPieceSize() + len(ADDED_TOKENS)

    def _encode_segment(self, text: str) -> tuple[Sequence[int], Sequence[int]]:
        pieces = self._pieces.encode(text, return_type="offset_mapping")
        return pieces["ids"], [start for start, _ in pieces["offsets"]]

    def _decode_segment(self, ids: list[int]) -> str:
        return self._pieces.DecodeIds(ids)


class FastTokenizer(Tokenizer):
    """A Hugging Face tokenizer.json, as used by Llama 3, Qwen 3 and SmolLM2; missing added tokens are appended.

    Args:
        model: The file's content. A file written by this class names its control tokens.
        names: The file's tokens for `BEGIN`, `END` and `UNKNOWN`; required for a foreign file.

    Raises:
        CheckpointError: It is not a tokenizer.json, or its control tokens are unknown or missing.
    """

    def __init__(self, model: bytes, *, names: Mapping[str, str] | None = None) -> None:
        try:
            self._fast = tokenizers.Tokenizer.from_str(model.decode())
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(
                f"the tokenizer is not a tokenizer.json ({error}): copy {FAST_FILE} again"
            ) from error
        control = _written_control(model) or names
        if control is None:
            raise CheckpointError(
                f"{FAST_FILE} does not name the tokens that begin and end a text: copy {NAMES_FILE} to the same folder"
            )
        self._control_names = dict(control)
        ids = {token: self._id(name) for token, name in control.items()}
        added = [AddedToken(token, normalized=False, special=True) for token in ADDED_TOKENS]
        self._fast.add_special_tokens(added)  # pyright: ignore[reportUnknownMemberType]
        # a template may list tokens that it does not use: this stores the name of each control token
        self._fast.post_processor = TemplateProcessing(
            single=f"{BEGIN} $A",
            special_tokens=[
                {"id": token, "ids": [ids[token]], "tokens": [name]}
                for token, name in control.items()
            ],
        )
        self._fast.no_truncation()
        self._fast.no_padding()
        content = self._fast.to_str()
        self._fast.encode_special_tokens = True  # special tokens in a user's text are plain text
        self._length = max(self._fast.get_vocab(with_added_tokens=True).values()) + 1
        super().__init__(
            content.encode(),
            added={token: self._id(token) for token in ADDED_TOKENS},
            control=ids,
        )

    def control_name(self, token: str) -> str:
        """The vocabulary's own text for `BEGIN`, `END` or `UNKNOWN`."""
        return self._control_names[token]

    def _id(self, name: str) -> int:
        index = self._fast.token_to_id(name)
        if index is None:
            raise CheckpointError(f"{FAST_FILE} has no token {name}: it belongs to another model")
        return index

    def __len__(self) -> int:
        """One more than the largest id, added tokens included."""
        return self._length

    def _encode_segment(self, text: str) -> tuple[Sequence[int], Sequence[int]]:
        encoding = self._fast.encode(f" {text}", add_special_tokens=False)
        return encoding.ids, [max(start - 1, 0) for start, _ in encoding.offsets]

    def _decode_segment(self, ids: list[int]) -> str:
        return self._fast.decode(ids, skip_special_tokens=True).removeprefix(" ")


def tokenizer_path(folder: Path) -> Path:
    """The tokenizer's file in a model folder; the SentencePiece model if there are two."""
    fast, slow = folder / FAST_FILE, folder / SENTENCEPIECE_FILE
    return fast if fast.exists() and not slow.exists() else slow


def tokenizer_file_name(model: bytes) -> str:
    """The name of a tokenizer's file, by its content."""
    return FAST_FILE if model.startswith(b"{") else SENTENCEPIECE_FILE


def embedded_tokenizer() -> Tokenizer:
    """The small English vocabulary of `tiny` models; trained by scripts/train_tokenizer.py."""
    return Tokenizer.from_file(Path(__file__).parent / "assets" / SENTENCEPIECE_FILE)


def control_names(bos: str | None, eos: str, pad: str | None) -> dict[str, str]:
    """Choose control tokens for a vocabulary that may lack some; Qwen, for example, has no begin token.

    Args:
        bos: Begins a text.
        eos: Ends a text; replaces missing tokens.
        pad: Fills the end of shorter sequences.
    """
    return {BEGIN: bos or pad or eos, END: eos, UNKNOWN: pad or eos}


def _read_names(path: Path) -> dict[str, str] | None:
    """Control tokens from a tokenizer_config.json; None if it names no end token."""
    try:
        content = _Names.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}): copy it again") from error
    if content.eos_token is None:
        return None
    return control_names(
        _text(content.bos_token),
        _text(content.eos_token) or "",
        _text(content.pad_token) or _text(content.unk_token),
    )


class _Content(BaseModel):
    content: str


class _Names(BaseModel):
    """The control tokens in a tokenizer_config.json: each is a text, or an object that contains it."""

    bos_token: str | _Content | None = None
    eos_token: str | _Content | None = None
    pad_token: str | _Content | None = None
    unk_token: str | _Content | None = None


def _text(token: str | _Content | None) -> str | None:
    return token.content if isinstance(token, _Content) else token


class _Template(BaseModel):
    class Token(BaseModel):
        tokens: tuple[str, ...]

    special_tokens: dict[str, Token] = {}


class _Written(BaseModel):
    post_processor: _Template | None = None


def _written_control(content: bytes) -> dict[str, str] | None:
    """The control tokens in a file written by `FastTokenizer`; None for other files."""
    try:
        template = _Written.model_validate_json(content).post_processor
    except ValidationError:
        return None
    if template is None or not set(_CONTROL) <= template.special_tokens.keys():
        return None
    return {token: template.special_tokens[token].tokens[0] for token in _CONTROL}
