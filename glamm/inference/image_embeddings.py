"""Embeddings of images: every image is encoded once, several images at a time, and the results are cached."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from cachetools import LRUCache
from torch import Tensor

from glamm.inference.requests import GenerationRequest
from glamm.models.clip.encoder import ImageFeatures
from glamm.models.glamm import GLaMM

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Encoded(Generic[T]):
    """The output of an encoder for a request's image.

    Args:
        value: The output.
        is_new: The encoder ran for this request; False if the output was cached, or belongs to an earlier request about
            the same image.
    """

    value: T
    is_new: bool


class ImageEmbeddingCache:
    """Both image encoders of a model, with a cache.

    Args:
        model: In evaluation mode.
        cache: Stores outputs by the requests' image keys.
    """

    def __init__(self, model: GLaMM, cache: LRUCache[Hashable, Any]) -> None:
        self._model, self._cache = model, cache
        device = next(model.parameters()).device
        self._side_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def encode_global(self, requests: Sequence[GenerationRequest]) -> list[Encoded[ImageFeatures]]:
        """Run the global encoder, in one batch, on the images that are not cached.

        Returns:
            One output per request.
        """
        return self._encode("global", requests, self._run_global)

    def encode_grounding(self, requests: Sequence[GenerationRequest]) -> list[Encoded[Tensor]]:
        """Run the grounding encoder, in one batch, on the images that are not cached.

        Afterwards the outputs of earlier calls of `prefetch_grounding` are ready, too.

        Returns:
            One output per request.
        """
        encoded = self._encode("grounding", requests, self._run_grounding)
        if self._side_stream is not None:
            torch.cuda.current_stream(self._side_stream.device).wait_stream(self._side_stream)
        return encoded

    def prefetch_grounding(self, requests: Sequence[GenerationRequest]) -> list[Encoded[Tensor]]:
        """As `encode_grounding`, but on a GPU the encoder runs beside the work that follows.

        Returns:
            One output per request, to be used after the next call of `encode_grounding`.
        """
        with self._on_side_stream():
            return self._encode("grounding", requests, self._run_grounding)

    def _encode(
        self,
        encoder: str,
        requests: Sequence[GenerationRequest],
        run: Callable[[Sequence[GenerationRequest]], Sequence[T]],
    ) -> list[Encoded[T]]:
        """Look outputs up, and run the encoder once for all that are missing."""
        image_ids = [request.image_key or index for index, request in enumerate(requests)]
        values: dict[Hashable, T] = {}
        missing: dict[Hashable, GenerationRequest] = {}
        for image_id, request in zip(image_ids, requests, strict=True):
            key = request.image_key
            cached: T | None = None if key is None else self._cache.get((encoder, key))
            if cached is None:
                missing.setdefault(image_id, request)
            else:
                values[image_id] = cached
        outputs = run(list(missing.values())) if missing else ()
        for (image_id, request), output in zip(missing.items(), outputs, strict=True):
            values[image_id] = output
            if request.image_key is not None:
                with suppress(ValueError):  # larger than the whole cache
                    self._cache[encoder, request.image_key] = output
        return [
            Encoded(values[image_id], is_new=missing.pop(image_id, None) is not None)
            for image_id in image_ids
        ]

    def _run_global(self, requests: Sequence[GenerationRequest]) -> list[ImageFeatures]:
        features = self._model.encode_image(
            torch.stack([request.global_pixels for request in requests])
        )
        # copies: a view would keep the whole batch in memory
        return [
            ImageFeatures(
                features.tokens[index : index + 1].clone(),
                tuple(level[index : index + 1].clone() for level in features.levels),
            )
            for index in range(len(requests))
        ]

    def _run_grounding(self, requests: Sequence[GenerationRequest]) -> list[Tensor]:
        embeddings = self._model.encode_grounding(
            torch.stack([request.grounding_pixels for request in requests]),
            tuple(request.resized_size for request in requests),
        )
        return [embedding.clone() for embedding in embeddings]

    @contextmanager
    def _on_side_stream(self) -> Iterator[None]:
        """Queue work on the side stream of a GPU; without a GPU, do it immediately."""
        if self._side_stream is None:
            yield
            return
        self._side_stream.wait_stream(torch.cuda.current_stream(self._side_stream.device))
        with torch.cuda.stream(self._side_stream):
            yield
