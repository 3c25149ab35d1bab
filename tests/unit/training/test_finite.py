"""Runs that diverge."""

import math

import lightning
import pytest
import torch

from glamm.errors import ConfigError
from glamm.training.finite import check_losses, check_weights, finite_metrics


@pytest.fixture
def trainer():
    return lightning.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_loss_that_is_no_number_ends_the_run(value):
    with pytest.raises(ConfigError, match=rf"dice_loss is {value} after step 7.*learning_rate"):
        check_losses({"loss": 1.0, "dice_loss": value}, step=7)


def test_finite_losses_pass():
    check_losses({"loss": 1e30, "dice_loss": 0.0}, step=7)


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
def test_weight_that_is_no_number_is_named(trainer, value):
    weights = {"good": torch.ones(3), "bad": torch.tensor([1.0, value])}

    with pytest.raises(ConfigError, match="bad holds values that are not finite after step 3"):
        check_weights(weights.items(), step=3, trainer=trainer)


def test_finite_weights_pass(trainer):
    check_weights(
        [("empty", torch.ones(0)), ("half", torch.ones(2).half())], step=3, trainer=trainer
    )


def test_metrics_that_are_no_numbers_are_left_out_and_named(caplog):
    assert finite_metrics({"val_loss": math.nan, "val_giou": 0.5}) == {"val_giou": 0.5}
    assert "left out of the lineage: val_loss" in caplog.text
