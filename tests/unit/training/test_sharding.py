"""A model sharded over two processes, with batches of which one has no masks or no boxes."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn

from glamm.training.strategy import is_sharded, shard, touch_unused_parameters
from tests.builders.models import BBOX, SEG, build_batch, build_model

BOTH = ([[BBOX, 7, SEG, 2]], {"num_masks": [1], "boxes": {0: [[0.1, 0.1, 0.9, 0.9]]}})
BOXES = ([[BBOX, 7, 2]], {"boxes": {0: [[0.2, 0.1, 0.9, 0.9]]}})
MASKS = ([[7, SEG, 2]], {"num_masks": [1]})
NEITHER = ([[7, 8, 2]], {})
PAIRS: list[list[Any]] = [[BOTH, NEITHER], [BOXES, MASKS], [NEITHER, NEITHER]]
EVERYTHING = ("",)
FEW = ("language_model.lm_head", "mask_decoder", "region_encoder", "text_to_mask_projector")


def _gradients(model, batches, adjust_loss):
    for batch in batches:
        (adjust_loss(model, model(batch).loss, batch) / 2).backward()
    return {
        name: p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad
        for name, p in model.named_parameters()
        if p.grad is not None
    }


def _compare(rank, store, trained):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    for pair in PAIRS:
        batches = [build_batch(tokens, image_index=[0], **values) for tokens, values in pair]
        whole, sharded = build_model(), build_model()
        for model in (whole, sharded):
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name.startswith(trained))
        shard(sharded, init_device_mesh("cpu", (2,)))
        assert is_sharded(sharded)

        expected = _gradients(whole, batches, lambda _model, loss, _batch: loss)
        actual = _gradients(
            sharded, [batches[rank]], lambda *args: 2 * touch_unused_parameters(*args)
        )

        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            # the same sums in another order; without the test's point, whole gradients are missing
            torch.testing.assert_close(actual[name], value, atol=1e-6, rtol=1e-4)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("trained", [EVERYTHING, FEW], ids=["everything", "few"])
def test_sharded_gradients_equal_those_of_one_device(tmp_path, trained):
    """Without `touch_unused_parameters` the device with masks would wait for the other forever."""
    spawn(_compare, args=(str(tmp_path / "store"), trained), nprocs=2)
