"""A cache for the outputs of frozen image encoders, so that an image of a later epoch is not encoded again.

Useful for small data sets: at 7B, the outputs for one image take 2 MB (SAM) and 5 MB (CLIP) in bfloat16.
"""

import hashlib
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import torch
from cachetools import LRUCache
from jaxtyping import UInt8
from torch import Tensor

from glamm.errors import ConfigError
from glamm.models.clip.encoder import GlobalImageEncoder, ImageFeatures
from glamm.models.glamm import GLaMM
from glamm.models.sam.grounding_encoder import GroundingEncoder
from glamm.structures.batch import tensor_bytes
from glamm.typing import Size

T = TypeVar("T")


def cache_frozen_encoders(model: GLaMM, *, max_bytes: int) -> LRUCache[Hashable, Any]:
    """Replace the `forward` of each frozen image encoder by one with a cache, in place.

    The key of an output is a hash of the pixels. Images are encoded one by one: an output must not depend on the other
    images of its batch, or a resumed run, whose cache is empty, would round differently.

    Args:
        model: Its parameters that are not trained have `requires_grad` False.
        max_bytes: Limit for all outputs together; the least recently used are dropped first.

    Returns:
        The cache.

    Raises:
        ConfigError: Both encoders are trained, so their outputs change with every step.
    """
    cache: LRUCache[Hashable, Any] = LRUCache(max_bytes, getsizeof=tensor_bytes)
    is_frozen = {
        encoder: not any(parameter.requires_grad for parameter in encoder.parameters())
        for encoder in (model.global_encoder, model.grounding_encoder)
    }
    if not any(is_frozen.values()):
        raise ConfigError(
            "train.encoder_cache_mebibytes: both image encoders are trained, so their outputs cannot be cached: "
            "freeze them with train.optimizer.encoder_lr_scale=0, or set train.encoder_cache_mebibytes=0"
        )
    # replacing `forward` of the instance, not the module, keeps the names of its weights
    if is_frozen[model.global_encoder]:
        model.global_encoder.forward = _cached_global(model.global_encoder, cache)
    if is_frozen[model.grounding_encoder]:
        model.grounding_encoder.forward = _cached_grounding(model.grounding_encoder, cache)
    return cache


def _cached_global(
    encoder: GlobalImageEncoder, cache: LRUCache[Hashable, Any]
) -> Callable[..., ImageFeatures]:
    encode = encoder.forward

    @torch.no_grad()
    def forward(global_pixels: UInt8[Tensor, "images 3 height width"]) -> ImageFeatures:
        features = [
            _get_or_compute(cache, ("global", _digest(image)), partial(encode, image[None]))
            for image in global_pixels
        ]
        levels = zip(*(each.levels for each in features), strict=True)
        return ImageFeatures(
            torch.cat([each.tokens for each in features]),
            tuple(torch.cat(level) for level in levels),
        )

    return forward


def _cached_grounding(
    encoder: GroundingEncoder, cache: LRUCache[Hashable, Any]
) -> Callable[..., Tensor]:
    encode = encoder.forward

    @torch.no_grad()
    def forward(
        grounding_pixels: UInt8[Tensor, "images 3 side side"], resized_sizes: tuple[Size, ...]
    ) -> Tensor:
        return torch.cat(
            [
                _get_or_compute(
                    cache,
                    ("grounding", size, _digest(image)),
                    partial(encode, image[None], (size,)),
                )
                for image, size in zip(grounding_pixels, resized_sizes, strict=True)
            ]
        )

    return forward


def _get_or_compute(cache: LRUCache[Hashable, T], key: Hashable, compute: Callable[[], T]) -> T:
    value = cache.get(key)
    if value is None:
        value = compute()
        with suppress(ValueError):  # larger than the whole cache
            cache[key] = value
    return value


def _digest(pixels: UInt8[Tensor, "3 height width"]) -> bytes:
    return hashlib.blake2b(pixels.cpu().numpy().tobytes(), digest_size=16).digest()
