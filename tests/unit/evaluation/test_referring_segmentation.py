"""Referring segmentation of a model, on drawn scenes in RefCOCOg's layout."""

import pytest

from glamm.config.data import PrepareConfig
from glamm.config.synthetic import SynthConfig
from glamm.data.preparation.prepare import prepare
from glamm.errors import DataError
from glamm.evaluation.referring_segmentation import evaluate_referring_segmentation
from glamm.models.glamm import GLaMM
from glamm.synthetic.dataset import write_dataset
from tests.builders.training import save_micro


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("referring")
    config = SynthConfig(num_grand=2, num_train=2, num_val=4, num_test=1, image_size=64)
    write_dataset(root / "scenes", config, workers=1)
    prepare(root / "scenes", root / "shards", PrepareConfig())
    return root / "shards"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_micro(tmp_path_factory.mktemp("models") / "micro")


def predict_shifted_targets(monkeypatch, shift):
    """Let the model predict the targets, moved to the right by some pixels."""

    def predict_masks(self, batch, inputs, states):
        moved = tuple(target.roll(shift, -1) for target in batch.masks)
        return tuple(mask.float() * 2 - 1 for mask in moved), batch.masks

    monkeypatch.setattr(GLaMM, "predict_masks", predict_masks)


def test_right_masks_score_one(model, shards, monkeypatch):
    predict_shifted_targets(monkeypatch, 0)

    report = evaluate_referring_segmentation(model, shards, "val")

    assert report.fixed.giou == pytest.approx(1, abs=1e-4)
    assert report.fixed.ciou == 1
    assert report.compat.giou == pytest.approx(1, abs=1e-4)
    assert report.num_images == 4
    assert report.num_expressions > 4


def test_wrong_masks_score_less(model, shards, monkeypatch):
    predict_shifted_targets(monkeypatch, 20)

    report = evaluate_referring_segmentation(model, shards, "val")

    assert report.fixed.ciou < 0.7


def test_masks_come_from_the_model(model, shards):
    report = evaluate_referring_segmentation(model, shards, "val")

    assert 0 <= report.fixed.ciou < 0.9
    assert evaluate_referring_segmentation(model, shards, "val") == report


def test_split_without_expressions_is_refused(model, shards):
    with pytest.raises(DataError, match="has no referring expressions"):
        evaluate_referring_segmentation(model, shards, "test")
