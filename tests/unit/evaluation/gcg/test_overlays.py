import pytest

from glamm.evaluation.gcg.overlays import choose_evenly
from tests.builders.gcg import pair

PAIRS = [pair([], [], name=str(index)) for index in range(10)]


@pytest.mark.parametrize(
    ("number", "names"),
    [(0, []), (1, ["5"]), (2, ["2", "7"]), (10, list("0123456789")), (20, list("0123456789"))],
    ids=["none", "one", "two", "all", "more_than_all"],
)
def test_chosen_images_have_equal_distances(number: int, names: list[str]) -> None:
    assert [chosen.truth.id for chosen in choose_evenly(PAIRS, number)] == names
