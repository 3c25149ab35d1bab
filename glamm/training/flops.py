"""How many floating-point operations a training step needs, from the shapes of its inputs.

A multiplication with an addition counts as two, as in torch's FlopCounterMode. Counted are matrix products,
convolutions, and attention over all pairs of positions; everything else is cheap beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from glamm.config.model import (
    GlobalEncoderConfig,
    GroundingEncoderConfig,
    LanguageModelConfig,
    MaskDecoderConfig,
    ModelConfig,
    RegionEncoderConfig,
)
from glamm.models.glamm import GLaMM

PEAK_FLOPS: Mapping[str, float] = {
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "L4": 121e12,
}
"""Dense bfloat16 operations per second by a part of the device's name, from the makers' data sheets.

Lightning's `get_available_flops` has no B200, does not find an H200 by its name, and mistakes an L40S for an L4.
"""


@dataclass(slots=True)
class PassShape:
    """How much input the parts of a model get in one pass.

    Args:
        images: Images of the global encoder.
        grounded_images: Images of the grounding encoder: those with at least one mask.
        region_images: Images with at least one box.
        regions: Boxes.
        sequences: Sequences that the language model processes side by side.
        positions: Length of a sequence, image tokens and padding included.
        supervised: Tokens that are predicted.
        masks: [SEG] tokens.
    """

    images: int = 0
    grounded_images: int = 0
    region_images: int = 0
    regions: int = 0
    sequences: int = 0
    positions: int = 0
    supervised: int = 0
    masks: int = 0


class ShapeRecorder:
    """Records the shapes of the last pass of a model with hooks on its parts.

    Shapes are known on the host: recording costs nothing and does not wait for a GPU.

    Args:
        model: Gets the hooks; they stay for as long as it lives.
    """

    def __init__(self, model: GLaMM) -> None:
        self.shape = PassShape()
        for part, hook in (
            (model.global_encoder, self._global_encoder),
            (model.grounding_encoder, self._grounding_encoder),
            (model.region_encoder, self._region_encoder),
            (model.language_model.model, self._language_model),
            (model.language_model.lm_head, self._lm_head),
            (model.text_to_mask_projector, self._text_to_mask_projector),
        ):
            part.register_forward_pre_hook(hook, with_kwargs=True)

    def reset(self) -> None:
        """Forget the last pass; call it before the next one."""
        self.shape = PassShape()

    def _global_encoder(self, _: nn.Module, args: Any, _kwargs: Any) -> None:  # noqa: ANN401 - torch's signature
        self.shape.images = len(args[0])

    def _grounding_encoder(self, _: nn.Module, args: Any, _kwargs: Any) -> None:  # noqa: ANN401
        self.shape.grounded_images = len(args[0])

    def _region_encoder(self, _: nn.Module, args: Any, _kwargs: Any) -> None:  # noqa: ANN401
        levels, boxes, _ = args
        self.shape.region_images, self.shape.regions = len(levels[0]), len(boxes)

    def _language_model(self, _: nn.Module, _args: Any, kwargs: Any) -> None:  # noqa: ANN401
        self.shape.sequences, self.shape.positions = kwargs["inputs_embeds"].shape[:2]

    def _lm_head(self, _: nn.Module, args: Any, _kwargs: Any) -> None:  # noqa: ANN401
        self.shape.supervised = len(args[0])

    def _text_to_mask_projector(self, _: nn.Module, args: Any, _kwargs: Any) -> None:  # noqa: ANN401
        self.shape.masks = len(args[0])


def forward_flops(config: ModelConfig, shape: PassShape) -> dict[str, int]:
    """Operations of a forward pass, by the names of the model's parts; adapters are left out."""
    language, channels = config.language_model, config.grounding_encoder.out_channels
    width, hidden = config.global_encoder.hidden_size, language.hidden_size
    tokens = shape.images * config.global_encoder.num_tokens
    return {
        "global_encoder": 2 * shape.images * _global_encoder(config.global_encoder),
        "image_projector": 2 * tokens * (width * hidden + hidden * hidden),
        "region_encoder": 2
        * _region_encoder(config.region_encoder, config.global_encoder, hidden=hidden, shape=shape),
        "language_model.model": 2 * shape.sequences * _language_model(language, shape.positions),
        "language_model.lm_head": 2 * shape.supervised * hidden * language.vocab_size,
        "text_to_mask_projector": 2 * shape.masks * hidden * (hidden + channels),
        "grounding_encoder": 2
        * shape.grounded_images
        * _grounding_encoder(config.grounding_encoder),
        "mask_decoder": 2
        * shape.masks
        * _mask_decoder(config.mask_decoder, config.grounding_encoder),
    }


def training_flops(config: ModelConfig, shape: PassShape, factors: Mapping[str, float]) -> int:
    """Operations of the forward and the backward pass; `factors` are `training_factors` of the model."""
    return round(sum(factors[name] * value for name, value in forward_flops(config, shape).items()))


def training_factors(model: GLaMM) -> dict[str, float]:
    """How many forward passes each part costs in training, by its name.

    A part that is trained costs three: its own, the gradients of its inputs, and those of its weights. A frozen part
    after a trained one costs two, any other frozen part one. Activations that are recomputed are not counted: the
    model does not need them.
    """
    language = model.language_model
    names = forward_flops(model.config, PassShape())
    trained = {name: _trained_share(model.get_submodule(name)) for name in names}
    trained["language_model.model"] = _trained_share(language.model.layers)
    inputs_have_graph = any(trained[name] for name in ("image_projector", "region_encoder"))
    inputs_have_graph |= _trained_share(language.model.embed_tokens) > 0
    states_have_graph = inputs_have_graph or trained["language_model.model"] > 0
    has_graph = {
        "language_model.model": states_have_graph,
        "language_model.lm_head": states_have_graph,
        "text_to_mask_projector": states_have_graph,
        "mask_decoder": states_have_graph or trained["text_to_mask_projector"] > 0,
    }
    return {
        name: 1 + (has_graph.get(name, False) or share > 0) + share
        for name, share in trained.items()
    }


def peak_flops(device_name: str) -> float | None:
    """Dense bfloat16 operations per second of a device; None if it is not in the table."""
    names = sorted(PEAK_FLOPS, key=len, reverse=True)  # L40S before L4
    return next((PEAK_FLOPS[name] for name in names if name in device_name), None)


def _global_encoder(config: GlobalEncoderConfig) -> int:
    hidden, patches = config.hidden_size, config.num_tokens
    positions = patches + (1 if config.architecture == "clip" else 0)
    layer = positions * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    attention = 2 * positions**2 * hidden
    return patches * 3 * config.patch_size**2 * hidden + config.num_layers * (layer + attention)


def _language_model(config: LanguageModelConfig, positions: int) -> int:
    head = config.head_dim or config.hidden_size // config.num_heads
    queries = config.num_heads * head
    keys = (config.num_key_value_heads or config.num_heads) * head
    linear = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    return config.num_layers * (positions * linear + 2 * positions**2 * queries)


def _grounding_encoder(config: GroundingEncoderConfig) -> int:
    hidden, grid, window = config.hidden_size, config.grid_size, config.window_size
    whole = len(config.global_attention_layers)
    num_windows = (-(-grid // window)) ** 2

    def attention(side: int) -> int:
        cells = side**2
        # queries, keys, values and output; all pairs; relative positions along rows and columns
        return 4 * cells * hidden**2 + 2 * cells**2 * hidden + 2 * cells * side * hidden

    in_windows = (config.num_layers - whole) * num_windows * attention(window)
    patches = grid**2
    mlp = config.num_layers * 8 * patches * hidden**2
    neck = patches * (hidden * config.out_channels + 9 * config.out_channels**2)
    embedding = patches * 3 * config.patch_size**2 * hidden
    return embedding + in_windows + whole * attention(grid) + mlp + neck


def _region_encoder(
    config: RegionEncoderConfig, encoder: GlobalEncoderConfig, *, hidden: int, shape: PassShape
) -> int:
    width, bins = config.width, config.roi_size**2
    sides = [encoder.grid_size * 2**depth for depth in range(config.num_levels)]
    pixels = sum(side**2 for side in sides)
    fusion = pixels * width * (encoder.hidden_size + 2 + 9 * config.num_fusion_layers * width)
    region = (
        config.num_levels * bins * 9 * width**2
        + bins * width * config.hidden_dim
        + config.position_dim * (4 + config.hidden_dim)
        + config.hidden_dim * hidden
    )
    return shape.region_images * fusion + shape.regions * region


def _mask_decoder(config: MaskDecoderConfig, encoder: GroundingEncoderConfig) -> int:
    dim, cells = encoder.out_channels, encoder.grid_size**2
    num_tokens = 6  # one for the predicted IoU, four for masks, one for the prompt

    def attention(queries: int, keys: int, inner: int) -> int:
        return 2 * (queries + keys) * dim * inner + 2 * queries * keys * inner

    across = attention(num_tokens, cells, dim // 2)
    layer = (
        attention(num_tokens, num_tokens, dim)
        + attention(cells, num_tokens, dim // 2)
        + across
        + 2 * num_tokens * dim * config.mlp_dim
    )
    upscaling = cells * (dim**2 + dim**2 // 2)
    weights = 2 * dim**2 + dim**2 // 8
    score = config.iou_head_hidden_dim * (dim + config.iou_head_hidden_dim + 4)
    return config.num_layers * layer + across + upscaling + weights + score + 2 * cells * dim


def _trained_share(module: nn.Module) -> float:
    """Share of the weights that are trained, 0 to 1."""
    parameters = list(module.parameters())
    num_trained = sum(p.numel() for p in parameters if p.requires_grad)
    return num_trained / sum(p.numel() for p in parameters)
