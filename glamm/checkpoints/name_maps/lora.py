"""Names of LoRA weights in checkpoints of peft and of the release."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glamm.errors import CheckpointError

_WRAPPERS = ("module.", "base_model.model.")
_LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")


def strip_wrappers(name: str) -> str:
    """Remove what peft and DeepSpeed add to a name."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in _WRAPPERS:
            if name.startswith(prefix):
                name, stripped = name.removeprefix(prefix), True
    return (
        name.replace(".base_layer.", ".")
        .replace(".modules_to_save.default.", ".")
        .replace(".original_module.", ".")
    )


def split_lora(name: str) -> tuple[str, str] | None:
    """Adapted module and side ("A" or "B") of a LoRA weight; None for any other name."""
    match = _LORA.match(name)
    return (match["module"], match["side"]) if match else None


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """LoRA weights that are not merged into the model.

    Args:
        tensors: Under our names.
        alpha: The product B @ A is multiplied by `alpha / rank`.
    """

    tensors: dict[str, Tensor]
    alpha: float

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return next(len(value) for name, value in self.tensors.items() if ".lora_A" in name)

    def pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A and B by the name of the adapted module.

        Raises:
            CheckpointError: A module has only one of them.
        """
        sides: dict[str, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            split = split_lora(name)
            if split:
                module, side = split
                sides.setdefault(module, {})[side] = value
        incomplete = [module for module, pair in sides.items() if pair.keys() != {"A", "B"}]
        if incomplete:
            raise CheckpointError(f"{incomplete[0]}: has only one of lora_A and lora_B")
        return {module: (pair["A"], pair["B"]) for module, pair in sides.items()}

    @torch.no_grad()
    def merge_into(self, model: nn.Module) -> None:
        """Add the product of each pair to the weight of the adapted module.

        Raises:
            CheckpointError: The model has no such weight, or its shape does not fit.
        """
        for module, (a, b) in self.pairs().items():
            try:
                weight = model.get_submodule(module).get_parameter("weight")
            except AttributeError as error:
                raise CheckpointError(
                    f"{module}: the model has no weight for these LoRA weights"
                ) from error
            if (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != b.shape[1]:
                raise CheckpointError(
                    f"{module}: LoRA weights of {tuple(b.shape)} x {tuple(a.shape)} do not fit a weight of {tuple(weight.shape)}"
                )
            change = (self.alpha / len(a)) * (b.float() @ a.float())
            weight.copy_((weight.float() + change).to(weight.dtype))
