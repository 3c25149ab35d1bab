"""Limits and optional features of the engine."""

from dataclasses import dataclass

DEFAULT_MAX_NEW_TOKENS = 256
"""The description of a scene takes about 80 tokens; a model that continues for this long is repeating itself."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits and optional features of an engine.

    Args:
        max_batch_size: Requests that run together.
        max_waiting: Requests that may wait in the queue; further ones are refused.
        max_prefills_per_step: Requests that may join between two decode steps. More fill the batch sooner, fewer delay
            running requests less.
        cache_bytes: Memory for image embeddings and prompt prefixes together.
        prefetch_grounding: Run the grounding encoder with the prefill instead of after the first [SEG]; on a GPU it
            then runs beside the language model.
        compile_decode: Compile the decode step, with the same shapes for every batch; pays on a GPU, after a slow
            start.
    """

    max_batch_size: int = 16
    max_waiting: int = 64
    max_prefills_per_step: int = 4
    cache_bytes: int = 1 << 30
    prefetch_grounding: bool = False
    compile_decode: bool = False
