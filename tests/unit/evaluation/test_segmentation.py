"""Referring segmentation of a model, on drawn scenes in RefCOCOg's layout, and semantic segmentation."""

from dataclasses import replace

import pytest
import torch

from glamm.config.data import PrepareConfig
from glamm.config.synthetic import SynthConfig
from glamm.data.preparation.prepare import prepare
from glamm.errors import DataError
from glamm.evaluation.segmentation import (
    evaluate_referring_segmentation,
    evaluate_semantic_segmentation,
)
from glamm.geometry import masks
from glamm.models.glamm import GLaMM
from glamm.structures.sample import Target, Task
from glamm.synthetic.dataset import write_dataset
from tests.builders.data import OBJECTS, ShardWriter, jpeg, referring
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


def write_classes(folder, *images, task=Task.SEMANTIC_SEGMENTATION):
    """An image for each list of (class, object ids)."""
    writer = ShardWriter(folder, shard_bytes=1 << 20)
    for seed, targets in enumerate(images):
        sample = replace(
            referring(seed=seed), task=task, targets=tuple(Target(*item) for item in targets)
        )
        writer.add((sample,), jpeg(seed=seed))
    writer.close()


def test_classes_are_scored_over_all_images(model, tmp_path, monkeypatch):
    """Every mask is answered with that of object 0, so that only class "cup" is right."""
    write_classes(
        tmp_path / "val", [("cup", (0,)), ("box", (1,))], [("cup", (0,)), ("[red] box", (0, 1))]
    )
    first, second = (masks.decode(OBJECTS[index].mask) for index in (0, 1))

    def predict_masks(self, batch, inputs, states):
        answer = torch.from_numpy(first).float() * 2 - 1
        return tuple(answer.expand(len(mask), -1, -1) for mask in batch.masks), batch.masks

    monkeypatch.setattr(GLaMM, "predict_masks", predict_masks)

    report = evaluate_semantic_segmentation(model, tmp_path, "val")

    disjoint = (first & second).sum() / (first | second).sum()
    part = first.sum() / (first | second).sum()
    assert report.classes == pytest.approx({"[red] box": part, "box": disjoint, "cup": 1.0})
    assert report.miou == pytest.approx((1 + disjoint + part) / 3)
    assert report.scores.giou == pytest.approx((2 + disjoint + part) / 4, abs=1e-4)
    intersection = 3 * first.sum() + (first & second).sum()
    union = 2 * first.sum() + 2 * (first | second).sum()
    assert report.scores.ciou == pytest.approx(intersection / union)
    assert (report.num_images, report.num_masks, report.num_left_out) == (2, 4, 0)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
def test_class_that_is_too_long_is_counted_and_the_others_are_evaluated(
    model, tmp_path, monkeypatch, position
):
    targets = [("cup", (0,)), ("box", (1,))]
    targets.insert(position, ("lorem " * 2000, (1,)))
    write_classes(tmp_path / "val", targets, [("lorem " * 2000, (0,))])
    predict_shifted_targets(monkeypatch, 0)

    report = evaluate_semantic_segmentation(model, tmp_path, "val")

    assert report.classes == {"box": 1.0, "cup": 1.0}
    assert (report.num_images, report.num_masks, report.num_left_out) == (2, 2, 2)


def test_expression_that_is_too_long_is_counted(model, tmp_path, monkeypatch):
    targets = [("lorem " * 2000, (1,)), ("cup", (0,))]
    write_classes(tmp_path / "val", targets, task=Task.REFERRING_SEGMENTATION)
    predict_shifted_targets(monkeypatch, 0)

    report = evaluate_referring_segmentation(model, tmp_path, "val")

    assert (report.num_expressions, report.num_left_out) == (1, 1)
    assert report.fixed.ciou == report.compat.ciou == 1


def test_split_without_classes_is_refused(model, shards):
    with pytest.raises(DataError, match="has no classes of semantic segmentation"):
        evaluate_semantic_segmentation(model, shards, "val")
