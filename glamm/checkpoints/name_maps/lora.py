"""Low-rank adapters as peft and the release name them."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glamm.errors import CheckpointError

_WRAPPERS = ("module.", "base_model.model.")
_LORA = re.compile(r"^(?P<place>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")


def strip_wrappers(name: str) -> str:
    """Take away what peft and DeepSpeed put before, and in, a name."""
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
    """Place and side ("A" or "B") of a low-rank weight; None for any other name."""
    match = _LORA.match(name)
    return (match["place"], match["side"]) if match else None


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """Low-rank weights, not merged.

    Args:
        tensors: By our names.
        alpha: The product is multiplied by `alpha / rank`.
    """

    tensors: dict[str, Tensor]
    alpha: float

    @property
    def rank(self) -> int:
        """Inner width."""
        return next(len(value) for name, value in self.tensors.items() if ".lora_A" in name)

    def pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A and B by the module beside which they stand.

        Raises:
            CheckpointError: One side is missing.
        """
        sides: dict[str, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            found = split_lora(name)
            if found:
                sides.setdefault(found[0], {})[found[1]] = value
        lacking = [place for place, both in sides.items() if both.keys() != {"A", "B"}]
        if lacking:
            raise CheckpointError(f"{lacking[0]}: has only one of lora_A and lora_B")
        return {place: (both["A"], both["B"]) for place, both in sides.items()}

    @torch.no_grad()
    def merge_into(self, model: nn.Module) -> None:
        """Add them to the weights beside which they stand.

        Raises:
            CheckpointError: There is no such weight, or it has another shape.
        """
        for place, (a, b) in self.pairs().items():
            try:
                weight = model.get_submodule(place).get_parameter("weight")
            except AttributeError as error:
                raise CheckpointError(f"{place}: low-rank weights stand beside nothing") from error
            if (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != b.shape[1]:
                raise CheckpointError(
                    f"{place}: low-rank weights {tuple(b.shape)} x {tuple(a.shape)} for {tuple(weight.shape)}"
                )
            change = (self.alpha / len(a)) * (b.float() @ a.float())
            weight.copy_((weight.float() + change).to(weight.dtype))
