"""How devices share the work: a whole model on each, weights in shards, or DeepSpeed."""

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
"""Parameters that get gradients only from a batch with boxes."""
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
"""Parameters that get gradients only from a batch with masks; SAM's other three masks and its predicted IoU never do."""

# FSDP looks for tensors in the model's output, to notice the beginning of the backward pass
torch.export.register_dataclass(GLaMMOutput)


def make_strategy(config: TrainConfig) -> Strategy | str:
    """The strategy to give to a Lightning trainer.

    Raises:
        ConfigError: The phase cannot be trained with this strategy.
        HostError: A package or a GPU is missing.
    """
    num_processes = config.devices * config.nodes
    name = config.strategy
    if name == "auto":
        name = "ddp" if num_processes > 1 else "single"
    if name not in ("single", "ddp") and config.phase != "joint":
        raise ConfigError(
            f"train.strategy: {name} is for the phase joint only; for {config.phase} use ddp"
        )
    has_gpu = torch.cuda.is_available()
    backend = "nccl" if has_gpu else "gloo"
    if name == "single":
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
            "or use fsdp2, which shards as well"
        )
    if not has_gpu:
        raise HostError(f"train.strategy: {name} needs a GPU; on CPUs use ddp or fsdp2")
    return DeepSpeedStrategy(stage=int(name[-1]))


def shard(model: GLaMM, mesh: DeviceMesh) -> None:
    """Distribute the weights over devices, in place.

    A layer that every batch needs is gathered just before it runs; the rest of the model is gathered at once.

    Args:
        model: Adapters must have been added before.
        mesh: The devices that share the weights.
    """
    for layer in (*model.language_model.model.layers, *model.global_encoder.clip.encoder.layers):
        fully_shard(layer, mesh=mesh)
    # The rest is gathered at once and kept until the end of the backward pass: a batch without masks skips the grounding
    # encoder, and a device that gathered its layers alone would wait forever.
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    # If the language model is frozen, only a batch with boxes would go back through its layers, to the region encoder.
    model.language_model.enable_input_require_grads()


def touch_unused_parameters(model: GLaMM, loss: Tensor, batch: Batch) -> Tensor:
    """Give parameters that only other devices need in this pass a gradient of zero on this device.

    Devices reduce gradients together: a device without a gradient would leave the others waiting. A parameter that no
    device needs gets no gradient, as on a single device.

    Args:
        model: Sharded; its forward pass is done, its backward pass is not.
        loss: Loss of this device.
        batch: Batch of this device.

    Returns:
        The loss with the parameters added, multiplied by 0.
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
    """Whether every process holds only a part of the weights."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def gather_weights(model: nn.Module) -> dict[str, Any]:
    """The whole state dict in the RAM of the first process, an empty one on the others; every process must call it."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(model, options=options)


def build_from_weights(
    model_config: ModelConfig, config: TrainConfig, weights: dict[str, Tensor]
) -> GLaMM:
    """Build a model from gathered weights, to be saved, not to be run.

    Args:
        model_config: Configuration of the trained model.
        config: Decides whether it has adapters.
        weights: The whole state dict.
    """
    with torch.device("meta"):
        model = GLaMM.from_config(model_config)
        if config.lora:
            add_lora(model.language_model, **config.lora.model_dump())
    model.load_state_dict(weights, assign=True)
    return model
