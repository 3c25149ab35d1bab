"""Low-rank adapters of the language model."""

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer

from glamm.models.language.causal import LanguageModel

TARGETS = ("q_proj", "v_proj")
"""The projections that the release adapts."""


_ADAPTER, _BASE = "lora_", ".base_layer"


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is part of an adapter."""
    return _ADAPTER in name


def name_without_adapter(name: str) -> str:
    """What a parameter is called where there are no adapters."""
    return name.replace(_BASE, "")


def add_lora(language_model: LanguageModel, *, rank: int, alpha: int, dropout: float) -> None:
    """Put adapters beside the query and value projections, in place; all other weights stop requiring gradients.

    Args:
        language_model: Without adapters.
        rank: Inner width.
        alpha: The adapter's output is multiplied by `alpha / rank`.
        dropout: Before the adapter, while training.

    Source: Hu et al. 2021; the release has rank 8, alpha 16, dropout 0.05.
    """
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(TARGETS), bias="none"
    )
    inject_adapter_in_model(config, language_model)


def merge_lora(language_model: LanguageModel) -> None:
    """Add adapters to the weights they stand beside and take them away, in place; names are as before `add_lora`."""
    adapted = [
        (name, module)
        for name, module in language_model.named_modules()
        if isinstance(module, LoraLayer)
    ]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(language_model.get_submodule(parent), child, module.get_base_layer())
