"""Two processes with shards of a model, one of them without masks or boxes."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn

from glamm.training.strategy import is_sharded, join_unused_parts, shard
from tests.builders.models import BBOX, SEG, build_batch, build_model

BOTH = {"rows": [[BBOX, 7, SEG, 2]], "num_masks": [1], "boxes": {0: [[0.1, 0.1, 0.9, 0.9]]}}
BOXES = {"rows": [[BBOX, 7, 2]], "boxes": {0: [[0.2, 0.1, 0.9, 0.9]]}}
MASKS = {"rows": [[7, SEG, 2]], "num_masks": [1]}
NEITHER = {"rows": [[7, 8, 2]]}
PAIRS: list[list[dict[str, Any]]] = [[BOTH, NEITHER], [BOXES, MASKS], [NEITHER, NEITHER]]
EVERYTHING = ("",)
FEW = ("language_model.lm_head", "mask_decoder", "region_encoder", "text_to_mask_projector")


def _gradients(model, batches, join):
    for batch in batches:
        (join(model, model(batch).loss, batch) / 2).backward()
    return {
        name: one.grad.full_tensor() if isinstance(one.grad, DTensor) else one.grad
        for name, one in model.named_parameters()
        if one.grad is not None
    }


def _work(rank, store, trained):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    for pair in PAIRS:
        batches = [build_batch(image_index=[0], **one) for one in pair]
        alone, together = build_model(), build_model()
        for model in (alone, together):
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name.startswith(trained))
        shard(together, init_device_mesh("cpu", (2,)))
        assert is_sharded(together)

        expected = _gradients(alone, batches, lambda _model, loss, _batch: loss)
        found = _gradients(together, [batches[rank]], lambda *args: 2 * join_unused_parts(*args))

        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("trained", [EVERYTHING, FEW], ids=["everything", "few"])
def test_devices_with_unlike_batches_give_the_gradients_of_one(tmp_path, trained):
    """Without agreement the one with masks would wait for the other for ever."""
    spawn(_work, args=(str(tmp_path / "store"), trained), nprocs=2)
