"""The global image encoder: the vision transformer of CLIP or SigLIP, with hidden states from several layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from glamm.config.hf_names import VISION_NAMES, to_hugging_face
from glamm.config.model import GlobalEncoderArchitecture, GlobalEncoderConfig
from glamm.models.computed_buffers import ComputedBuffers

VisionTransformer: TypeAlias = CLIPVisionModel | SiglipVisionModel


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Properties of a family of encoders.

    Args:
        pixel_mean: Of red, green and blue in [0, 1]; subtracted from the pixels.
        pixel_std: Divides the pixels after the subtraction.
        num_class_tokens: Tokens without a position in the image, at the start of every hidden state.
    """

    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    num_class_tokens: int


ENCODER_SPECS: dict[GlobalEncoderArchitecture, EncoderSpec] = {
    "clip": EncoderSpec(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 1
    ),
    "siglip": EncoderSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0),
}


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Output of the global encoder.

    Args:
        tokens: The selected hidden state without class tokens; patches in row-major order.
        levels: Hidden states as feature maps for the region encoder, from the shallowest layer to the selected one.
    """

    tokens: Float[Tensor, "images tokens width"]
    levels: tuple[Float[Tensor, "images width grid grid"], ...]


class GlobalImageEncoder(ComputedBuffers):
    """A vision transformer, including the normalization of its pixels.

    Args:
        architecture: Family of the transformer; selects an entry of `ENCODER_SPECS`.
        clip: The transformer; its state-dict keys begin with `clip.` for every family.
        select_layer: Index of the hidden state that provides the tokens, counted from the end; -1 is the last.
        num_levels: Number of hidden states that provide the levels.
        level_step: Number of layers from one level to the next.

    Source: LLaVA 1.0 (`select_layer=-2`); GPT4RoI (levels three layers apart).
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        architecture: GlobalEncoderArchitecture,
        clip: VisionTransformer,
        select_layer: int,
        num_levels: int,
        level_step: int,
    ) -> None:
        super().__init__()
        spec = ENCODER_SPECS[architecture]
        self.spec, self.clip, self.num_class_tokens = spec, clip, spec.num_class_tokens
        self.select_layer, self.num_levels, self.level_step = select_layer, num_levels, level_step
        self.compute_buffers()

    @classmethod
    def from_config(
        cls, config: GlobalEncoderConfig, *, num_levels: int, level_step: int
    ) -> "GlobalImageEncoder":
        """Build with random weights."""
        return cls(
            architecture=config.architecture,
            clip=_build_transformer(config),
            select_layer=config.select_layer,
            num_levels=num_levels,
            level_step=level_step,
        )

    def compute_buffers(self, device: torch.device | str | None = None) -> None:
        """Compute the constants of the normalization, and the indices of the transformer's positions."""
        for name, values in (
            ("pixel_mean", self.spec.pixel_mean),
            ("pixel_std", self.spec.pixel_std),
        ):
            constants = torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
            self.register_buffer(name, constants, persistent=False)
        embeddings = self.clip.embeddings
        positions = torch.arange(embeddings.num_positions, device=device)[None]
        embeddings.register_buffer("position_ids", positions, persistent=False)

    def forward(self, global_pixels: UInt8[Tensor, "images 3 height width"]) -> ImageFeatures:
        """Compute tokens and levels in one pass; layers above the selected one do not run."""
        selected = len(self.clip.encoder.layers) + 1 + self.select_layer
        first = selected - (self.num_levels - 1) * self.level_step
        wanted = range(first, selected + 1, self.level_step)
        patches = [
            state[:, self.num_class_tokens :]
            for index, state in enumerate(islice(self.hidden_states(global_pixels), selected + 1))
            if index in wanted
        ]
        return ImageFeatures(patches[-1], tuple(_as_image(level) for level in patches))

    def hidden_states(
        self, global_pixels: UInt8[Tensor, "images 3 height width"]
    ) -> Iterator[Float[Tensor, "images positions width"]]:
        """Yield the input of the first layer and the output of each layer; a layer runs when its output is consumed."""
        dtype = self.clip.post_layernorm.weight.dtype
        pixels = ((global_pixels / 255 - self.pixel_mean) / self.pixel_std).to(dtype)
        state = self.clip.embeddings(pixels)
        if isinstance(self.clip, CLIPVisionModel):
            state = self.clip.pre_layrnorm(state)
        yield state
        for layer in self.clip.encoder.layers:
            state = layer(state, None)
            yield state


def _build_transformer(config: GlobalEncoderConfig) -> VisionTransformer:
    sizes = to_hugging_face(config, VISION_NAMES)
    if config.architecture == "siglip":
        # without the pooling head: its output is not used
        return SiglipVisionModel(SiglipVisionConfig(vision_use_head=False, **sizes))
    return CLIPVisionModel(CLIPVisionConfig(**sizes))


def _as_image(
    tokens: Float[Tensor, "images tokens width"],
) -> Float[Tensor, "images width grid grid"]:
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).unflatten(2, (side, side))
