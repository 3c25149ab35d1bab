import pytest
import torch
from torch import nn

from glamm.config.training import OptimizerConfig
from glamm.training.optimizer import build_optimizer, lr_factor


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 0.25), (3, 1.0), (4, 1.0), (7, 0.5), (10, 0.0), (11, 0.0)],
    ids=["first", "end of warm-up", "maximum", "half", "end", "after the end"],
)
def test_learning_rate_rises_and_falls_linearly(step, share):
    assert lr_factor(step, warmup_steps=4, max_steps=10) == pytest.approx(share)


def test_learning_rate_without_warm_up_starts_at_the_maximum():
    assert lr_factor(0, warmup_steps=0, max_steps=5) == 1.0


class _Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.global_encoder = nn.Linear(2, 2)
        self.language_model = nn.Linear(2, 2)


def test_encoders_have_a_scaled_learning_rate():
    config = OptimizerConfig(learning_rate=1.0, encoder_lr_scale=0.3, warmup_steps=0)

    optimizer = build_optimizer(_Parts(), config, max_steps=10)["optimizer"]

    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 0.3])


def test_full_rate_exempts_an_encoder_from_scaling():
    config = OptimizerConfig(learning_rate=1.0, encoder_lr_scale=0.3, warmup_steps=0)

    built = build_optimizer(_Parts(), config, max_steps=10, full_rate=("global_encoder",))

    assert [group["lr"] for group in built["optimizer"].param_groups] == [1.0]


def test_frozen_parameters_are_left_out():
    parts = _Parts()
    parts.global_encoder.requires_grad_(requires_grad=False)

    optimizer = build_optimizer(parts, OptimizerConfig(), max_steps=10)["optimizer"]

    assert isinstance(optimizer, torch.optim.AdamW)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert set(trained) == set(parts.language_model.parameters())
