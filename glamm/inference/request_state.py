"""A request on its way through the engine."""

from collections import deque
from dataclasses import replace

import torch
from torch import Tensor

from glamm.inference.requests import (
    Event,
    Generation,
    GenerationOptions,
    GenerationRequest,
)
from glamm.models.clip.encoder import ImageFeatures
from glamm.structures.answer import WorkCounters


class RequestState:
    """What the engine knows about a request; to whoever submitted it, a receipt.

    Args:
        request: The question.
        options: How it is answered.
        max_tokens: What is left of the options' limit in the model's positions.
    """

    def __init__(
        self, request: GenerationRequest, options: GenerationOptions, *, max_tokens: int
    ) -> None:
        self.request, self.options, self.max_tokens = request, options, max_tokens
        self.image: object = request.image_key or object()
        self.generator = (
            torch.Generator().manual_seed(options.seed) if options.temperature > 0 else None
        )
        self.token_ids: list[int] = []
        self.seg_states: list[Tensor] = []
        self.masks: list[Tensor] = []
        self.events = deque[Event]()
        self.features: ImageFeatures | None = None
        self.embedding: Tensor | None = None
        self.counters = WorkCounters()
        self.finish_reason: str | None = None
        self.is_cancelled = False
        self.is_done = False
        self._error: Exception | None = None

    def count(self, **work: int) -> None:
        """Add to the counters."""
        added = {name: getattr(self.counters, name) + value for name, value in work.items()}
        self.counters = replace(self.counters, **added)

    def finish(self, reason: str) -> None:
        """Hand over."""
        self.finish_reason = reason
        self.features = self.embedding = None
        self.seg_states = []
        self.is_done = True

    def fail(self, error: Exception) -> None:
        """Hand over an error instead."""
        self._error = error
        self.finish("error")

    def generation(self) -> Generation:
        """The answer of a finished job.

        Raises:
            Exception: What ended it.
        """
        if self._error is not None:
            raise self._error
        low = torch.stack(self.masks) if self.masks else torch.zeros(0, 1, 1)
        return Generation(tuple(self.token_ids), low, self.finish_reason or "stop", self.counters)
