"""A submitted request: the state that the engine keeps about it, and the handle that its submitter holds."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from glamm.config.model import SpecialTokens
from glamm.inference.requests import (
    Event,
    Generation,
    GenerationOptions,
    GenerationRequest,
    NewToken,
)
from glamm.structures.answer import WorkCounters


@dataclass(eq=False, slots=True, kw_only=True)
class RequestState:
    """The progress of one request. Only the engine changes it.

    Args:
        request: The question.
        options: How tokens are chosen, and when the answer ends.
        max_tokens: `options.max_new_tokens`, or less if the model has fewer positions left.
        generator: For sampling; None if decoding is greedy.
        token_ids: Generated so far.
        seg_states: State of every [SEG] among them.
        mask_logits: Masks decoded so far, in the order of `seg_states`.
        grounding_embedding: Of the image; None until it was computed or found in the cache.
        events: Not yet delivered to the submitter.
        counters: Work so far.
        finish_reason: Set with the last token, before the remaining masks are decoded.
        is_cancelled: Set by the submitter.
        is_done: Nothing changes any more.
        error: What ended the request instead of an answer.
    """

    request: GenerationRequest
    options: GenerationOptions
    max_tokens: int
    generator: torch.Generator | None
    token_ids: list[int] = field(default_factory=list[int])
    seg_states: list[Tensor] = field(default_factory=list[Tensor])
    mask_logits: list[Tensor] = field(default_factory=list[Tensor])
    grounding_embedding: Tensor | None = None
    events: deque[Event] = field(default_factory=deque[Event])
    counters: WorkCounters = field(default_factory=WorkCounters)
    finish_reason: str | None = None
    is_cancelled: bool = False
    is_done: bool = False
    error: Exception | None = None

    @property
    def image_id(self) -> object:
        """Equal for requests that share the embeddings of one image."""
        return self.request.image_key or id(self)

    @property
    def pending_seg_states(self) -> list[Tensor]:
        """States of [SEG] tokens whose masks are not decoded yet."""
        return self.seg_states[len(self.mask_logits) :]

    def add_token(
        self, token: int, hidden: Float[Tensor, " hidden"], *, special_tokens: SpecialTokens
    ) -> None:
        """Append a token and set `finish_reason` if the answer ends with it.

        Args:
            token: The chosen token.
            hidden: The state of the language model that predicted it.
            special_tokens: Ids of the end token and of [SEG].
        """
        self.token_ids.append(token)
        self.events.append(NewToken(token))
        if token == special_tokens.seg:
            self.seg_states.append(hidden.clone())
        options = self.options
        end = special_tokens.eos if options.eos_token_id is None else options.eos_token_id
        is_stopped = token == end or token in options.stop_token_ids
        if is_stopped or (options.should_stop and options.should_stop(self.token_ids)):
            self.finish_reason = "stop"
        elif len(self.token_ids) >= self.max_tokens:
            self.finish_reason = "length"

    def finish(self, reason: str, *, error: Exception | None = None) -> None:
        """End the request and release what only the engine needed."""
        self.finish_reason, self.error = reason, error
        self.grounding_embedding = None
        self.seg_states = []
        self.is_done = True


class GenerationHandle:
    """A submitted request, as its submitter sees it: events, result and cancellation.

    Waiting for an event or for the result runs the engine.

    Args:
        state: The request's state in the engine.
        run_until: Runs the engine until a condition holds.
    """

    def __init__(
        self, state: RequestState, run_until: Callable[[Callable[[], bool]], None]
    ) -> None:
        self._state, self._run_until = state, run_until

    @property
    def is_done(self) -> bool:
        """Whether `result` returns without waiting."""
        return self._state.is_done

    def events(self) -> Iterator[Event]:
        """Yield tokens and masks as they are generated; each event is yielded once.

        Raises:
            DataError: As `result`.
        """
        state = self._state
        while True:
            self._run_until(lambda: bool(state.events) or state.is_done)
            while state.events:
                yield state.events.popleft()
            if state.is_done and not state.events:
                self.result()
                return

    def result(self) -> Generation:
        """Wait for the complete answer.

        Raises:
            DataError: The prompt does not have exactly one image placeholder, or its number of `<bbox>` tokens differs
                from that of boxes.
        """
        state = self._state
        self._run_until(lambda: state.is_done)
        if state.error is not None:
            raise state.error
        return Generation(
            token_ids=tuple(state.token_ids),
            mask_logits=torch.stack(state.mask_logits)
            if state.mask_logits
            else torch.zeros(0, 1, 1),
            finish_reason=state.finish_reason or "stop",
            counters=state.counters,
        )

    def cancel(self) -> None:
        """End the answer where it is and free its slot; a finished answer stays as it is."""
        self._state.is_cancelled = True
        self._run_until(lambda: self._state.is_done)
