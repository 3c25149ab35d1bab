"""Record the outputs of a model's modules while it runs."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from glamm.models.glamm import GLaMM


class Recording:
    """The outputs of modules, call by call."""

    def __init__(self) -> None:
        self._outputs = defaultdict[str, list[Any]](list)

    def outputs(self, name: str) -> list[Any]:
        """The output of every call of a module, in order; empty if it was not called."""
        return self._outputs[name]

    def attach(self, name: str, module: nn.Module) -> Any:  # noqa: ANN401 - torch's handle type is private
        """Record a module until the returned handle is removed."""

        def hook(_: nn.Module, __: object, output: object) -> None:
            self._outputs[name].append(output)

        return module.register_forward_hook(hook)


@contextmanager
def record_outputs(model: GLaMM) -> Iterator[Recording]:
    """Record every module of which a conformance set has tensors."""
    recording = Recording()
    modules: dict[str, nn.Module] = {
        "image_projector": model.image_projector,
        "fusion": model.region_encoder.fusion,
        "position_embedding": model.region_encoder.position_embedding,
        "region_encoder": model.region_encoder,
        "language_model": model.language_model.model,
        "head": model.language_model.lm_head,
        "grounding_encoder": model.grounding_encoder,
        "patch_embed": model.grounding_encoder.vit.patch_embed,
        "text_to_mask_projector": model.text_to_mask_projector,
        "mask_decoder": model.mask_decoder,
    }
    for index, block in enumerate(model.grounding_encoder.vit.blocks):
        modules[f"block{index}"] = block
    handles = [recording.attach(name, module) for name, module in modules.items()]
    try:
        yield recording
    finally:
        for handle in handles:
            handle.remove()
