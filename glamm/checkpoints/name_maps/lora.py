"""What peft, DeepSpeed, FSDP and torch.compile add to the names of tensors."""

import re
from collections.abc import Iterable

_WRAPPERS = ("module.", "base_model.model.")
_INNER_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_LORA = re.compile(
    r"^(?P<module>.+)\.(?P<tensor>lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?P<kind>\.weight|\.bias)?$"
)
_SAVED = re.compile(r"\.modules_to_save\.(?P<adapter>[^.]+)\.")


def plain_name(name: str) -> str | None:
    """The name of a tensor in a model without wrappers; the names of adapters are removed as well.

    Returns:
        None for the original of a module that was trained as a whole: its trained copy counts.
    """
    name = _INNER_WRAPPERS.sub("", name)
    stripped = True
    while stripped:
        stripped = False
        for prefix in _WRAPPERS:
            if name.startswith(prefix):
                name, stripped = name.removeprefix(prefix), True
    if ".original_module." in name:
        return None
    name = _SAVED.sub(".", name.replace(".base_layer.", "."))
    match = _LORA.match(name)
    if match is None:
        return name
    # peft writes the magnitudes of DoRA with and without ".weight"
    kind = "" if match["tensor"] == "lora_magnitude_vector" else match["kind"] or ""
    return f"{match['module']}.{match['tensor']}{kind}"


def split_lora(name: str) -> tuple[str, str] | None:
    """Adapted module and tensor ("lora_A.weight", ...) of the plain name of a LoRA weight; None for any other name."""
    match = _LORA.match(name)
    return (match["module"], f"{match['tensor']}{match['kind'] or ''}") if match else None


def adapter_names(names: Iterable[str]) -> set[str]:
    """The names of the adapters in a checkpoint; peft's own files do not contain them."""
    matches = [match for name in names for match in (_LORA.match(name), _SAVED.search(name))]
    return {match["adapter"] for match in matches if match and match["adapter"]}
