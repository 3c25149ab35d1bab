"""How devices share the work: everything on each, in shards, or by DeepSpeed."""

from importlib.util import find_spec
from typing import Any

import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
    Strategy,
)
from torch import Tensor, nn
from torch.distributed import ReduceOp, all_reduce
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from glamm.config.model import ModelConfig
from glamm.config.training import TrainConfig
from glamm.errors import ConfigError, HostError
from glamm.models.glamm import GLaMM, GLaMMOutput
from glamm.models.language.lora import add_lora
from glamm.structures.batch import Batch

_WITH_BOXES = ("region_encoder.",)
"""Parameters that only a batch with boxes gives gradients."""
_WITH_MASKS = (
    "text_to_mask_projector.",
    "grounding_encoder.",
    "prompt_encoder.no_mask_embed.",
    "mask_decoder.iou_token.",
    "mask_decoder.mask_tokens.",
    "mask_decoder.output_hypernetworks_mlps.0.",
    "mask_decoder.output_upscaling.",
    "mask_decoder.transformer.",
)
"""Likewise with masks; SAM's other three masks and its guess of the quality have none ever."""

# FSDP looks for tensors in what the model gives back, to know when the backward pass begins
torch.export.register_dataclass(GLaMMOutput)


def make_strategy(config: TrainConfig) -> Strategy | str:
    """What Lightning needs to know.

    Raises:
        ConfigError: The stage cannot be trained so.
        HostError: A package or a GPU is missing.
    """
    num_processes = config.devices * config.nodes
    name = config.strategy
    if name == "auto":
        name = "ddp" if num_processes > 1 else "one"
    if name not in ("one", "ddp") and config.phase != "joint":
        raise ConfigError(
            f"train.strategy: {name} is of stage joint; {config.phase} is small enough for ddp"
        )
    has_gpu = torch.cuda.is_available()
    backend = "nccl" if has_gpu else "gloo"
    if name == "one":
        return "auto" if has_gpu else SingleDeviceStrategy(device="cpu")
    if name == "ddp":
        return DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
    if name == "fsdp2":
        return ModelParallelStrategy(
            data_parallel_size=num_processes,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,  # one file, with one checksum
            process_group_backend=backend,
        )
    if find_spec("deepspeed") is None:
        raise HostError(
            f"train.strategy: {name} needs the package deepspeed: pip install deepspeed, "
            "or take fsdp2, which shards the same"
        )
    if not has_gpu:
        raise HostError(f"train.strategy: {name} needs a GPU; on CPUs take ddp or fsdp2")
    return DeepSpeedStrategy(stage=int(name[-1]))


def shard(model: GLaMM, mesh: DeviceMesh) -> None:
    """Spread weights over devices, in place; each layer that every batch needs is gathered when it is its turn.

    Args:
        model: With adapters, if it has some.
        mesh: Devices that share the weights.
    """
    for layer in (*model.language_model.model.layers, *model.global_encoder.clip.encoder.layers):
        fully_shard(layer, mesh=mesh)
    # The rest is gathered at once and kept to the end of the backward pass: a batch without masks skips the grounding
    # encoder, and a device that gathered its layers alone would wait for ever.
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    # Where the language model is frozen, only a batch with boxes would go back through its layers, to the region encoder.
    model.language_model.enable_input_require_grads()


def join_unused_parts(model: GLaMM, loss: Tensor, batch: Batch) -> Tensor:
    """Let parts that the batch of another device needs take part with gradients of zero.

    Devices reduce gradients together: one that has none for a part would leave the others waiting. A part that no
    device needs has no gradient, as on one device.

    Args:
        model: Sharded; between its forward and its backward pass.
        loss: Of this device.
        batch: Of this device.
    """
    uses = {
        _WITH_BOXES: any(len(boxes) for boxes in batch.boxes_xyxy_unit),
        _WITH_MASKS: any(len(masks) for masks in batch.masks),
    }
    needed = torch.tensor([float(is_used) for is_used in uses.values()], device=loss.device)
    all_reduce(needed, op=ReduceOp.MAX)
    for (names, is_used), is_needed in zip(uses.items(), needed.tolist(), strict=True):
        if is_needed and not is_used:
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and name.startswith(names):
                    loss = loss + 0 * parameter.sum()
    return loss


def is_sharded(model: nn.Module) -> bool:
    """Whether every process holds a part of the weights only."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def gather_weights(model: nn.Module) -> dict[str, Any]:
    """The whole state dict on the CPU of the first process, nothing on the others; all of them must call this."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(model, options=options)


def whole_model(
    model_config: ModelConfig, config: TrainConfig, weights: dict[str, Tensor]
) -> GLaMM:
    """A model of gathered weights, to be saved and not to be run.

    Args:
        model_config: Of the model that was trained.
        config: Says whether it has adapters.
        weights: Of all its parts.
    """
    with torch.device("meta"):
        model = GLaMM.from_config(model_config)
        if config.lora:
            add_lora(model.language_model, **config.lora.model_dump())
    model.load_state_dict(weights, assign=True)
    return model
