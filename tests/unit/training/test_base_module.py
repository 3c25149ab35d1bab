from glamm.training.base_module import Ratio


def test_ratio_weighs_batches_by_what_they_count():
    assert (Ratio(3.0, 4) + Ratio(0.0, 2)).value == 0.5


def test_ratio_of_nothing_is_zero():
    assert Ratio(0.0, 0).value == 0.0
