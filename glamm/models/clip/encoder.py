"""The global image encoder: the vision transformer of CLIP or SigLIP, read at several depths."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from glamm.config.model import GlobalEncoderArchitecture, GlobalEncoderConfig

VisionTransformer: TypeAlias = CLIPVisionModel | SiglipVisionModel


@dataclass(frozen=True, slots=True)
class _Habits:
    """What a family of encoders expects and gives.

    Args:
        pixel_mean: Of red, green and blue between 0 and 1; taken away.
        pixel_std: Then divided by.
        num_class_tokens: At the start of every hidden state.
    """

    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    num_class_tokens: int


_HABITS: dict[GlobalEncoderArchitecture, _Habits] = {
    "clip": _Habits((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 1),
    "siglip": _Habits((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0),
}


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the global encoder saw.

    Args:
        tokens: The selected hidden state without a class token, row by row of the image.
        levels: Hidden states for the region encoder as images, the shallowest first, the selected one last.
    """

    tokens: Float[Tensor, "images tokens width"]
    levels: tuple[Float[Tensor, "images width grid grid"], ...]


class GlobalImageEncoder(nn.Module):
    """A vision transformer with its own normalisation.

    Args:
        architecture: Its family.
        clip: The transformer; state dicts of every family have it under CLIP's name.
        select_layer: Which hidden state makes the tokens, from the end.
        num_levels: How many hidden states make the levels.
        level_step: Layers between two of them.

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
        habits = _HABITS[architecture]
        self.clip, self.num_class_tokens = clip, habits.num_class_tokens
        self.select_layer, self.num_levels, self.level_step = select_layer, num_levels, level_step
        self.register_buffer(
            "pixel_mean", torch.tensor(habits.pixel_mean).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor(habits.pixel_std).view(1, 3, 1, 1), persistent=False
        )

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

    def forward(self, global_pixels: UInt8[Tensor, "images 3 height width"]) -> ImageFeatures:
        """Encode images once; tokens and levels come from the same run, and layers above them do not run."""
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
        """Yield what goes into the first layer, and what comes out of each; a layer runs when it is asked for."""
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
    sizes = {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "hidden_act": config.hidden_act,
        "layer_norm_eps": config.layer_norm_eps,
    }
    if config.architecture == "siglip":
        # without its pooling head, which nothing here would read
        return SiglipVisionModel(SiglipVisionConfig(vision_use_head=False, **sizes))
    return CLIPVisionModel(CLIPVisionConfig(**sizes))


def _as_image(
    tokens: Float[Tensor, "images tokens width"],
) -> Float[Tensor, "images width grid grid"]:
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).unflatten(2, (side, side))
