"""LoRA adapters of the language model."""

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from glamm.models.language.causal import LanguageModel

TARGETS = ("q_proj", "v_proj")
"""The projections that the release adapts."""


_ADAPTER, _BASE = "lora_", ".base_layer"


def is_adapter(name: str) -> bool:
    """Whether a parameter name belongs to an adapter."""
    return _ADAPTER in name


def name_without_adapter(name: str) -> str:
    """The name that a parameter has in a model without adapters."""
    return name.replace(_BASE, "")


def add_lora(language_model: LanguageModel, *, rank: int, alpha: int, dropout: float) -> None:
    """Add adapters to the query and value projections, in place; all other weights are frozen.

    Args:
        language_model: A model without adapters.
        rank: Width of the bottleneck.
        alpha: The adapter's output is multiplied by `alpha / rank`.
        dropout: Probability of dropping an input of the adapter during training.

    Source: Hu et al. 2021; the release has rank 8, alpha 16, dropout 0.05.
    """
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(TARGETS), bias="none"
    )
    inject_adapter_in_model(config, language_model)


def merge_lora(model: nn.Module) -> None:
    """Add the adapters to the weights that they adapt and remove them, in place.

    Parameter names are then the same as before the adapters were added.
    """
    adapted = [
        (name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)
    ]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())
