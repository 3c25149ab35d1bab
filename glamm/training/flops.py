"""How many floating-point operations a training step needs, counted from sizes; a multiplication with an addition is two.

Counted as torch's FlopCounterMode does: matrix products, convolutions and attention over all pairs of positions;
what is cheap beside them is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
from glamm.models.glamm.losses import predicting_positions
from glamm.models.glamm.prefix_packing import find_shared_prefixes
from glamm.models.glamm.splice import find_image_span
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID

PEAK_FLOPS: Mapping[str, float] = {
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "L4": 121e12,
}
"""Dense bfloat16 operations a second by a part of the device's name, from the makers' data sheets."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a batch asks of the model.

    Args:
        images: Images.
        grounded_images: Images with at least one mask.
        region_images: Images with at least one box.
        regions: Boxes.
        sequences: What the language model reads side by side.
        positions: Of each sequence, image tokens and padding included.
        supervised: Tokens that are predicted.
        masks: [SEG] tokens.
    """

    images: int
    grounded_images: int
    region_images: int
    regions: int
    sequences: int
    positions: int
    supervised: int
    masks: int


def load_of(batch: Batch, config: ModelConfig) -> Load:
    """Count what a batch asks for, what rows about one image share once."""
    num_tokens = config.global_encoder.num_tokens
    span = find_image_span(batch.input_ids, num_tokens=num_tokens, sample_ids=batch.sample_ids)
    token_ids = span.expand(batch.input_ids, image_value=IMAGE_PLACEHOLDER_ID)
    shared = find_shared_prefixes(
        token_ids,
        span.expand(batch.attention_mask, image_value=1),
        batch.image_index,
        region_token_id=config.special_tokens.bbox,
    )
    sequences, positions = (token_ids if shared is None else shared.source).shape
    boxed = [row for row, boxes in enumerate(batch.boxes_xyxy_unit) if len(boxes)]
    return Load(
        images=len(batch.global_pixels),
        grounded_images=sum(len(masks) > 0 for masks in batch.masks),
        region_images=len(set(batch.image_index[boxed].tolist())),
        regions=sum(map(len, batch.boxes_xyxy_unit)),
        sequences=sequences,
        positions=positions,
        supervised=len(predicting_positions(span.expand(batch.labels, image_value=IGNORE_LABEL))),
        masks=sum(map(len, batch.masks)),
    )


def forward_flops(config: ModelConfig, load: Load) -> dict[str, int]:
    """Operations of a forward pass by the names of the model's parts; adapters are left out."""
    language, channels = config.language_model, config.grounding_encoder.out_channels
    width, hidden = config.global_encoder.hidden_size, language.hidden_size
    tokens = load.images * config.global_encoder.num_tokens
    return {
        "global_encoder": 2 * load.images * _global_encoder(config.global_encoder),
        "image_projector": 2 * tokens * (width * hidden + hidden * hidden),
        "region_encoder": 2
        * _region_encoder(config.region_encoder, config.global_encoder, hidden=hidden, load=load),
        "language_model.model": 2 * load.sequences * _language_model(language, load.positions),
        "language_model.lm_head": 2 * load.supervised * hidden * language.vocab_size,
        "text_to_mask_projector": 2 * load.masks * hidden * (hidden + channels),
        "grounding_encoder": 2
        * load.grounded_images
        * _grounding_encoder(config.grounding_encoder),
        "mask_decoder": 2
        * load.masks
        * _mask_decoder(config.mask_decoder, config.grounding_encoder),
    }


def training_flops(model: GLaMM, load: Load) -> int:
    """Operations of forward and backward.

    A part that is trained costs three forward passes: itself, the gradients of its input and of its weights. One that
    stands still but has something trained before it costs two, any other one. Activations that are computed again
    are no more of the model's work.
    """
    language = model.language_model
    trained = {
        name: _trained_share(model.get_submodule(name))
        for name in forward_flops(model.config, load)
    }
    trained["language_model.model"] = _trained_share(language.model.layers)
    reads_trained = any(trained[name] for name in ("image_projector", "region_encoder"))
    reads_trained |= _trained_share(language.model.embed_tokens) > 0
    follows = reads_trained or trained["language_model.model"] > 0
    has_graph = {
        "language_model.model": follows,
        "language_model.lm_head": follows,
        "text_to_mask_projector": follows,
        "mask_decoder": follows or trained["text_to_mask_projector"] > 0,
    }
    return round(
        sum(
            (1 + (has_graph.get(name, False) or trained[name] > 0) + trained[name]) * value
            for name, value in forward_flops(model.config, load).items()
        )
    )


def peak_flops(device_name: str) -> float | None:
    """What a device can do a second in bfloat16; None where that is not known."""
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
        places = side**2
        # queries, keys, values and output; all pairs; relative positions along rows and columns
        return 4 * places * hidden**2 + 2 * places**2 * hidden + 2 * places * side * hidden

    in_windows = (config.num_layers - whole) * num_windows * attention(window)
    patches = grid**2
    mlp = config.num_layers * 8 * patches * hidden**2
    neck = patches * (hidden * config.out_channels + 9 * config.out_channels**2)
    embedding = patches * 3 * config.patch_size**2 * hidden
    return embedding + in_windows + whole * attention(grid) + mlp + neck


def _region_encoder(
    config: RegionEncoderConfig, encoder: GlobalEncoderConfig, *, hidden: int, load: Load
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
    return load.region_images * fusion + load.regions * region


def _mask_decoder(config: MaskDecoderConfig, encoder: GroundingEncoderConfig) -> int:
    dim, cells = encoder.out_channels, encoder.grid_size**2
    num_tokens = 6  # of the score, four masks and the prompt

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
    """Share of the weights that are trained."""
    sizes = [(one.numel(), one.requires_grad) for one in module.parameters()]
    return sum(size for size, is_trained in sizes if is_trained) / sum(size for size, _ in sizes)
