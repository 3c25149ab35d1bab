import pytest
import torch

from glamm.errors import DataError
from glamm.models.glamm.splice import check_counts, find_image_span, scatter_region_embeddings
from glamm.structures.ids import IMAGE_PLACEHOLDER_ID as IMAGE


def _ids() -> torch.Tensor:
    return torch.tensor([[1, IMAGE, 5, 6], [1, 7, IMAGE, 0]])


def test_span_replaces_the_placeholder_by_image_positions() -> None:
    span = find_image_span(_ids(), num_tokens=3, sample_ids=("a", "b"))

    expanded = span.expand(_ids(), image_value=IMAGE)

    assert expanded.tolist() == [[1, IMAGE, IMAGE, IMAGE, 5, 6], [1, 7, IMAGE, IMAGE, IMAGE, 0]]


def test_span_keeps_the_order_of_image_tokens() -> None:
    span = find_image_span(_ids(), num_tokens=3, sample_ids=("a", "b"))
    text = torch.arange(8.0).view(2, 4, 1)
    image = torch.tensor([[[10.0], [11.0], [12.0]], [[20.0], [21.0], [22.0]]])

    spliced = span.expand_embeddings(text, image)

    assert spliced[..., 0].tolist() == [[0, 10, 11, 12, 2, 3], [4, 5, 20, 21, 22, 7]]


@pytest.mark.parametrize(
    ("tokens", "count"), [([1, 5, 6], 0), ([IMAGE, IMAGE, 6], 2)], ids=["none", "two"]
)
def test_span_rejects_another_number_of_placeholders(tokens: list[int], count: int) -> None:
    ids = torch.tensor([[1, IMAGE, 3], tokens])

    with pytest.raises(DataError, match=f"record second: {count} image placeholders"):
        find_image_span(ids, num_tokens=3, sample_ids=("first", "second"))


def test_regions_replace_their_tokens_in_order_of_occurrence() -> None:
    embeddings = torch.zeros(2, 3, 2)
    is_region = torch.tensor([[True, False, True], [False, True, False]])
    features = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])

    spliced = scatter_region_embeddings(embeddings, is_region, features)

    assert spliced[..., 0].tolist() == [[1, 0, 2], [0, 3, 0]]


def test_different_counts_are_reported_with_both_numbers() -> None:
    with pytest.raises(DataError, match=r"record b: 2 \[SEG\] tokens and 3 masks"):
        check_counts([1, 2], [1, 3], placeholder="[SEG]", items="masks", sample_ids=("a", "b"))
