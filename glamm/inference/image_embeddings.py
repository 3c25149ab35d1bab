"""Images on their way through the encoders: each is encoded once, several at a time, and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from glamm.inference.request_state import RequestState
from glamm.lru_cache import ContentCache
from glamm.models.clip.encoder import ImageFeatures
from glamm.models.glamm import GLaMM

T = TypeVar("T")


class ImageEmbeddingCache:
    """Both image encoders of a model, with a memory.

    Args:
        model: In evaluation mode.
        cache: Keeps what was seen, by the image's key.
        prefetch_grounding: Start the grounding encoder together with the global one, on a GPU beside what follows.
    """

    def __init__(self, model: GLaMM, cache: ContentCache, *, prefetch_grounding: bool) -> None:
        self._model, self._cache, self._grounds_early = model, cache, prefetch_grounding
        device = next(model.parameters()).device
        self._side_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def see(self, jobs: Sequence[RequestState]) -> None:
        """Run the global encoder over the images that it has not seen, all at once.

        Args:
            jobs: Get their `features`.
        """
        missing: dict[object, list[RequestState]] = {}
        for job in jobs:
            job.features = self._recall("global", job, ImageFeatures)
            if job.features is None:
                missing.setdefault(job.image, []).append(job)
        if missing:
            firsts = [same[0] for same in missing.values()]
            pixels = torch.stack([job.request.global_pixels for job in firsts])
            seen = self._model.encode_image(pixels)
            for index, same in enumerate(missing.values()):
                # copies: a view would keep the whole batch in memory
                one = slice(index, index + 1)
                features = ImageFeatures(
                    seen.tokens[one].clone(), tuple(level[one].clone() for level in seen.levels)
                )
                self._keep("global", same[0], features)
                for job in same:
                    job.features = features
                same[0].count(global_encoder_calls=1)
        if self._grounds_early:
            with self._beside():
                self._encode_grounding(jobs)

    def ground(self, jobs: Sequence[RequestState]) -> None:
        """Run the grounding encoder over the images that it has not seen, or wait for it.

        Args:
            jobs: Get their `embedding`.
        """
        self._encode_grounding(jobs)
        if self._side_stream is not None:
            torch.cuda.current_stream(self._side_stream.device).wait_stream(self._side_stream)

    def _encode_grounding(self, jobs: Sequence[RequestState]) -> None:
        """Run the grounding encoder over the images that it has not seen, all at once."""
        missing: dict[object, list[RequestState]] = {}
        for job in jobs:
            if job.embedding is None:
                job.embedding = self._recall("grounding", job, Tensor)
            if job.embedding is None:
                missing.setdefault(job.image, []).append(job)
        if not missing:
            return
        firsts = [same[0] for same in missing.values()]
        encoded = self._model.encode_grounding(
            torch.stack([job.request.grounding_pixels for job in firsts]),
            tuple(job.request.resized_size for job in firsts),
        )
        for index, same in enumerate(missing.values()):
            embedding = encoded[index].clone()
            self._keep("grounding", same[0], embedding)
            for job in same:
                job.embedding = embedding
            same[0].count(grounding_encoder_calls=1)

    def _recall(self, part: str, job: RequestState, kind: type[T]) -> T | None:
        key = job.request.image_key
        return None if key is None else self._cache.get((part, key), kind)

    def _keep(self, part: str, job: RequestState, value: object) -> None:
        if job.request.image_key is not None:
            self._cache.put((part, job.request.image_key), value)

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """On a GPU, run beside what follows; elsewhere at once."""
        if self._side_stream is None:
            yield
            return
        self._side_stream.wait_stream(torch.cuda.current_stream(self._side_stream.device))
        with torch.cuda.stream(self._side_stream):
            yield
