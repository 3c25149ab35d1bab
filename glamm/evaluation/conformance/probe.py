"""Listen to the parts of a model while it runs."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from glamm.models.glamm import GLaMM


class Recording:
    """What the parts of a model gave back, call by call."""

    def __init__(self) -> None:
        self._outputs = defaultdict[str, list[Any]](list)
        self._inputs = defaultdict[str, list[Any]](list)

    def outputs(self, part: str) -> list[Any]:
        """The results of every call of a part, in order; none if it was not called."""
        return self._outputs[part]

    def inputs(self, part: str) -> list[dict[str, Any]]:
        """The keyword arguments of every call of a part."""
        return self._inputs[part]

    def listen(self, name: str, module: nn.Module) -> Any:  # noqa: ANN401 - torch's handle type is private
        """Record a module until the returned handle is removed."""

        def hook(_: nn.Module, __: object, kwargs: dict[str, Any], output: object) -> None:
            self._inputs[name].append(kwargs)
            self._outputs[name].append(output)

        return module.register_forward_hook(hook, with_kwargs=True)


@contextmanager
def record(model: GLaMM) -> Iterator[Recording]:
    """Record every part that a conformance set has numbers of."""
    recording = Recording()
    parts: dict[str, nn.Module] = {
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
        parts[f"block{index}"] = block
    handles = [recording.listen(name, module) for name, module in parts.items()]
    try:
        yield recording
    finally:
        for handle in handles:
            handle.remove()
