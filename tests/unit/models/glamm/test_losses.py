import math

import pytest
import torch

from glamm.models.glamm.losses import mask_losses, predicting_positions
from glamm.structures.ids import IGNORE_LABEL


def test_predicting_positions_are_one_before_the_supervised_tokens() -> None:
    labels = torch.tensor([[IGNORE_LABEL, IGNORE_LABEL, 4], [IGNORE_LABEL, 5, IGNORE_LABEL]])

    assert predicting_positions(labels).tolist() == [[0, 1], [1, 0]]


def test_perfect_masks_have_almost_no_loss() -> None:
    target = torch.tensor([[[True, False], [False, True]]])
    logits = torch.where(target, 50.0, -50.0)

    bce, dice = mask_losses([logits], [target])

    assert bce.item() == pytest.approx(0.0, abs=1e-6)
    assert dice.item() == pytest.approx(0.0, abs=1e-6)


def test_loss_of_uniform_probabilities_has_its_closed_form() -> None:
    target = torch.tensor([[[True, True], [False, False]]])

    bce, dice = mask_losses([torch.zeros(1, 2, 2)], [target])

    assert bce.item() == pytest.approx(math.log(2))
    # 2 * 0.5 * 2 / 1000 overlap, (0.5 * 4 + 2) / 1000 total, both smoothed by 1e-6
    assert dice.item() == pytest.approx(1 - (0.002 + 1e-6) / (0.004 + 1e-6))


def test_every_mask_has_the_same_weight_in_any_image() -> None:
    torch.manual_seed(0)
    logits = [torch.randn(2, 5, 7), torch.randn(0, 3, 3), torch.randn(1, 40, 40)]
    targets = [torch.rand_like(item) > 0.5 for item in logits]

    bce, dice = mask_losses(logits, targets)

    singles = [
        mask_losses([logit[None]], [target[None]])
        for image, truth in zip(logits, targets, strict=True)
        for logit, target in zip(image, truth, strict=True)
    ]
    assert bce.item() == pytest.approx(sum(loss.item() for loss, _ in singles) / 3, rel=1e-5)
    assert dice.item() == pytest.approx(sum(loss.item() for _, loss in singles) / 3, rel=1e-5)


def test_batch_without_masks_has_no_loss() -> None:
    bce, dice = mask_losses([torch.zeros(0, 4, 4)], [torch.zeros(0, 4, 4, dtype=torch.bool)])

    assert (bce.item(), dice.item()) == (0.0, 0.0)
