"""Image encoders that stand still remember what they saw, so that an image that comes again costs nothing.

Worth its memory for small sets: at 7B an image is 2 MB of SAM and 5 MB of CLIP in bfloat16.
"""

import hashlib
from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from glamm.errors import ConfigError
from glamm.lru_cache import ContentCache
from glamm.models.clip.encoder import GlobalImageEncoder, ImageFeatures
from glamm.models.glamm import GLaMM
from glamm.models.sam.grounding_encoder import GroundingEncoder
from glamm.typing import Size

T = TypeVar("T")


def remember_frozen_encoders(model: GLaMM, *, max_bytes: int) -> ContentCache:
    """Let every image encoder that is not trained keep its outputs, by the images' pixels, in place.

    Images are encoded one by one: what is kept must not depend on what it was once beside, or a run that goes on
    after a kill, with nothing kept yet, would round differently.

    Args:
        model: With what is not trained marked as such.
        max_bytes: Of everything kept; the longest unused goes first.

    Returns:
        What holds the outputs.

    Raises:
        ConfigError: Both encoders are trained: there is nothing that could be kept.
    """
    cache = ContentCache(max_bytes=max_bytes)
    is_frozen = {
        encoder: not any(one.requires_grad for one in encoder.parameters())
        for encoder in (model.global_encoder, model.grounding_encoder)
    }
    if not any(is_frozen.values()):
        raise ConfigError(
            "train.encoder_cache_mebibytes: both image encoders are trained, so that what they see changes: "
            "hold them still with train.optimizer.encoder_lr_scale=0, or set it to 0"
        )
    # an instance's own forward keeps the module, and with it the names of its weights
    if is_frozen[model.global_encoder]:
        model.global_encoder.forward = _remembering_global(model.global_encoder, cache)
    if is_frozen[model.grounding_encoder]:
        model.grounding_encoder.forward = _remembering_grounding(model.grounding_encoder, cache)
    return cache


def _remembering_global(
    encoder: GlobalImageEncoder, cache: ContentCache
) -> Callable[..., ImageFeatures]:
    look = encoder.forward

    @torch.no_grad()
    def forward(global_pixels: UInt8[Tensor, "images 3 height width"]) -> ImageFeatures:
        seen = [
            _recall(cache, ("global", _digest(one)), ImageFeatures, partial(look, one[None]))
            for one in global_pixels
        ]
        levels = zip(*(features.levels for features in seen), strict=True)
        return ImageFeatures(
            torch.cat([features.tokens for features in seen]),
            tuple(torch.cat(level) for level in levels),
        )

    return forward


def _remembering_grounding(encoder: GroundingEncoder, cache: ContentCache) -> Callable[..., Tensor]:
    look = encoder.forward

    @torch.no_grad()
    def forward(
        grounding_pixels: UInt8[Tensor, "images 3 side side"], resized_sizes: tuple[Size, ...]
    ) -> Tensor:
        return torch.cat(
            [
                _recall(
                    cache,
                    ("grounding", size, _digest(one)),
                    Tensor,
                    partial(look, one[None], (size,)),
                )
                for one, size in zip(grounding_pixels, resized_sizes, strict=True)
            ]
        )

    return forward


def _recall(cache: ContentCache, key: Hashable, kind: type[T], look: Callable[[], T]) -> T:
    value = cache.get(key, kind)
    if value is None:
        value = look()
        cache.put(key, value)
    return value


def _digest(pixels: UInt8[Tensor, "3 height width"]) -> bytes:
    return hashlib.blake2b(pixels.cpu().numpy().tobytes(), digest_size=16).digest()
