"""The generation engine: answers many requests together and computes nothing twice.

- The prompt is processed once (prefill); each further token needs one decode step with the KV cache.
- Running requests take their decode steps together; requests join and leave between two steps.
- An image is encoded once, and the prompt up to and including the image is processed once, for all questions about it.
- The grounding encoder runs only after a [SEG]; all masks that are due are decoded in one run.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import torch
from cachetools import LRUCache
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from glamm.errors import BusyError, RequestError
from glamm.inference.engine_options import EngineOptions
from glamm.inference.image_embeddings import Encoded, ImageEmbeddingCache
from glamm.inference.kv_cache import BatchedKVCache, PrefixKV
from glamm.inference.onednn_linear import OneDnnLinear
from glamm.inference.prompts import embed_prompt, num_positions, prefix_key, prefix_length
from glamm.inference.request_state import GenerationHandle, RequestState
from glamm.inference.requests import (
    Generation,
    GenerationOptions,
    GenerationRequest,
    NewMask,
)
from glamm.inference.sampling import choose_token
from glamm.models.clip.encoder import ImageFeatures
from glamm.models.glamm import GLaMM
from glamm.structures.answer import WorkCounters
from glamm.structures.batch import tensor_bytes


class Engine:
    """Answers requests from any number of threads.

    The engine has no thread: a thread that waits for an answer runs the engine, one thread at a time, and each step
    advances all requests.

    Args:
        model: In evaluation mode; its weights must not change afterwards.
        options: Limits and optional features.
    """

    def __init__(self, model: GLaMM, options: EngineOptions | None = None) -> None:
        self.model = model
        self.options = options or EngineOptions()
        self.cache: LRUCache[Hashable, Any] = LRUCache(
            self.options.cache_bytes, getsizeof=tensor_bytes
        )
        self._images = ImageEmbeddingCache(model, self.cache)
        self._waiting = deque[RequestState]()
        self._running: list[RequestState] = []
        self._finished: list[RequestState] = []
        self._kv_cache = self._empty_kv_cache()
        self._turn = threading.Condition()
        self._is_stepping = False
        language = model.language_model.model
        self._run: Callable[..., Tensor] = lambda **inputs: language(**inputs).last_hidden_state
        self._run_step = (
            torch.compile(self._run, dynamic=False) if self.options.compile_decode else self._run
        )
        self._onednn_linear = OneDnnLinear()
        self.device = next(model.parameters()).device

    @property
    def num_running(self) -> int:
        """Requests that take part in the next decode step."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def submit(self, request: GenerationRequest, options: GenerationOptions) -> GenerationHandle:
        """Queue a request; it is processed while a thread waits for it or for another request.

        Raises:
            RequestError: The prompt leaves no position for an answer.
            BusyError: The queue is full.
        """
        state = RequestState(
            request=request,
            options=options,
            max_tokens=self._max_tokens(request, options),
            generator=torch.Generator().manual_seed(options.seed)
            if options.temperature > 0
            else None,
        )
        with self._turn:
            if len(self._waiting) >= self.options.max_waiting:
                raise BusyError(
                    f"{len(self._waiting)} questions are waiting already: try again in a few seconds"
                )
            self._waiting.append(state)
        return GenerationHandle(state, self._run_until)

    def answer(self, request: GenerationRequest, options: GenerationOptions) -> Generation:
        """Submit a request and wait for its result.

        Raises:
            RequestError: As `submit`.
            BusyError: As `submit`.
            DataError: As `GenerationHandle.result`.
        """
        return self.submit(request, options).result()

    def step(self) -> None:
        """Advance all requests by one step; `GenerationHandle.result` does so repeatedly."""
        with self._turn:
            while self._is_stepping:
                self._turn.wait()
            self._take_turn()

    def _max_tokens(self, request: GenerationRequest, options: GenerationOptions) -> int:
        length = num_positions(self.model, request)
        limit = self.model.config.language_model.max_cached_positions
        if length >= limit:
            raise RequestError(
                f"the question takes {length} of the model's {limit} positions, image included, and leaves no "
                "room for an answer: shorten it"
            )
        return min(options.max_new_tokens, limit - length)

    def _run_until(self, is_satisfied: Callable[[], bool]) -> None:
        """Take steps, or wait while another thread takes one, until a condition holds."""
        with self._turn:
            while not is_satisfied():
                if self._is_stepping:
                    self._turn.wait()
                else:
                    self._take_turn()

    def _take_turn(self) -> None:
        """Release the lock, take one step, and wake the threads that wait."""
        self._is_stepping = True
        self._turn.release()
        try:
            self._step()
        finally:
            self._turn.acquire()
            self._is_stepping = False
            self._turn.notify_all()

    @torch.inference_mode()
    def _step(self) -> None:
        """Admit requests, generate one token for each, decode the masks that are due."""
        try:
            self._drop_cancelled()
            self._admit()
            self._decode()
            self._decode_masks()
        except Exception as error:  # noqa: BLE001 - every submitter gets it, and the engine continues
            self._fail(error)

    def _drop_cancelled(self) -> None:
        for slot in reversed(range(len(self._running))):
            if self._running[slot].is_cancelled:
                self._free_slot(slot)
        with self._turn:  # other threads submit at the same time
            cancelled = [state for state in self._waiting if state.is_cancelled]
            for state in cancelled:
                self._waiting.remove(state)
                state.finish("cancelled")

    def _admit(self) -> None:
        free = self.options.max_batch_size - len(self._running)
        states = [
            self._waiting.popleft()
            for _ in range(min(free, len(self._waiting), self.options.max_prefills_per_step))
        ]
        if not states:
            return
        try:
            features = self._encode_images(states)
        except Exception as error:  # noqa: BLE001 - running requests are not affected
            for state in states:
                state.finish("error", error=error)
            return
        for state, image_features in zip(states, features, strict=True):
            try:
                self._prefill(state, image_features)
            except Exception as error:  # noqa: BLE001 - other requests are not affected
                state.finish("error", error=error)

    def _encode_images(self, states: Sequence[RequestState]) -> list[ImageFeatures]:
        """Encode the images of new requests."""
        encoded = self._images.encode_global([state.request for state in states])
        for state, features in zip(states, encoded, strict=True):
            state.counters += WorkCounters(global_encoder_calls=int(features.is_new))
        if self.options.prefetch_grounding:
            self._encode_grounding(states, encode=self._images.prefetch_grounding)
        return [features.value for features in encoded]

    def _prefill(self, state: RequestState, features: ImageFeatures) -> None:
        """Process the prompt and generate the first token."""
        embeddings = embed_prompt(self.model, state.request, features)
        key = prefix_key(self.model, state.request)
        prefix: PrefixKV | None = self.cache.get(key) if key else None
        cache = prefix.to_cache() if prefix else DynamicCache()
        start = prefix.length if prefix else 0
        hidden = self._run(
            inputs_embeds=embeddings[:, start:], past_key_values=cache, use_cache=True
        )[:, -1]
        sequence = PrefixKV.from_cache(cache)
        if key and prefix is None:
            prefix = sequence.prefix(prefix_length(self.model, state.request))
            with suppress(ValueError):  # larger than the whole cache
                self.cache[key] = prefix
        state.counters += WorkCounters(prefill_tokens=embeddings.shape[1] - start)
        self._add_token(state, hidden[0], self.model.language_model.lm_head(hidden)[0])
        if state.finish_reason is None:
            self._kv_cache.append(sequence)
            self._running.append(state)
        else:
            self._finished.append(state)

    def _decode(self) -> None:
        """Generate one more token for every running request."""
        if not self._running:
            return
        step = self._kv_cache.begin_step()
        tokens = torch.zeros(len(step.position_ids), dtype=torch.long)
        tokens[: len(self._running)] = torch.tensor(
            [state.token_ids[-1] for state in self._running]
        )
        language = self.model.language_model
        embeddings = language.get_input_embeddings()(tokens.to(step.position_ids.device))
        with nullcontext() if self.options.compile_decode else self._onednn_linear:
            hidden = self._run_step(
                inputs_embeds=embeddings[:, None],
                attention_mask=step.attention_mask,
                position_ids=step.position_ids,
                past_key_values=self._kv_cache,
                use_cache=True,
            )[: len(self._running), 0]
            logits = language.lm_head(hidden)
        best = logits.argmax(1).tolist()
        for slot in reversed(range(len(self._running))):
            state = self._running[slot]
            state.counters += WorkCounters(decode_steps=1)
            self._add_token(state, hidden[slot], logits[slot], best=best[slot])
            if state.finish_reason is not None:
                self._free_slot(slot)

    def _add_token(
        self,
        state: RequestState,
        hidden: Float[Tensor, " hidden"],
        logits: Float[Tensor, " vocabulary"],
        *,
        best: int | None = None,
    ) -> None:
        """Choose the next token and append it to the answer."""
        options = state.options
        token = (
            best
            if best is not None and options.temperature == 0
            else choose_token(
                logits,
                temperature=options.temperature,
                top_p=options.top_p,
                generator=state.generator,
            )
        )
        state.add_token(token, hidden, special_tokens=self.model.config.special_tokens)

    def _free_slot(self, slot: int) -> None:
        """Remove a request from the batch; the last one moves into its slot."""
        state = self._running[slot]
        self._kv_cache.remove(slot)
        self._running[slot] = self._running[-1]
        self._running.pop()
        self._finished.append(state)
        if state.is_cancelled:
            state.finish_reason = "cancelled"

    def _decode_masks(self) -> None:
        """Decode all masks that are due in one run, and finish the requests that have ended."""
        streaming = [state for state in self._running if state.options.stream_masks]
        due = [
            state
            for state in (*streaming, *self._finished)
            if state.pending_seg_states and not state.is_cancelled
        ]
        if due:
            self._predict_masks(due)
        for state in self._finished:
            state.finish(state.finish_reason or "stop")
        self._finished = []

    def _predict_masks(self, states: Sequence[RequestState]) -> None:
        by_image = self._encode_grounding(states, encode=self._images.encode_grounding)
        embeddings = torch.stack(list(by_image.values()))
        embedding_index = {image_id: index for index, image_id in enumerate(by_image)}
        pending = [state.pending_seg_states for state in states]
        image_index = torch.tensor(
            [
                embedding_index[state.image_id]
                for state, seg_states in zip(states, pending, strict=True)
                for _ in seg_states
            ],
            device=embeddings.device,
        )
        logits = self.model.decode_seg_states(
            torch.stack([seg_state for seg_states in pending for seg_state in seg_states]),
            embeddings,
            image_index,
        )
        counts = [len(seg_states) for seg_states in pending]
        for state, masks in zip(states, logits.split(counts), strict=True):
            state.counters += WorkCounters(mask_decoder_calls=1)
            for mask in masks:
                state.events.append(NewMask(len(state.mask_logits), mask))
                state.mask_logits.append(mask.clone())

    def _encode_grounding(
        self,
        states: Sequence[RequestState],
        *,
        encode: Callable[[Sequence[GenerationRequest]], list[Encoded[Tensor]]],
    ) -> dict[object, Tensor]:
        """Provide the grounding embedding of every request's image.

        Returns:
            By `RequestState.image_id`.
        """
        missing = [state for state in states if state.grounding_embedding is None]
        encoded = encode([state.request for state in missing])
        for state, embedding in zip(missing, encoded, strict=True):
            state.grounding_embedding = embedding.value
            state.counters += WorkCounters(grounding_encoder_calls=int(embedding.is_new))
        return {
            state.image_id: state.grounding_embedding
            for state in states
            if state.grounding_embedding is not None
        }

    def _fail(self, error: Exception) -> None:
        """End all running requests with an error and start with an empty KV cache: its content is not reliable."""
        for state in (*self._running, *self._finished):
            state.finish("error", error=error)
        self._running, self._finished = [], []
        self._kv_cache = self._empty_kv_cache()

    def _empty_kv_cache(self) -> BatchedKVCache:
        return BatchedKVCache(
            max_batch_size=self.options.max_batch_size,
            max_length=self.model.config.language_model.max_cached_positions,
            is_static=self.options.compile_decode,
        )


def generate(
    model: GLaMM,
    request: GenerationRequest,
    *,
    max_new_tokens: int,
    eos_token_id: int | None = None,
) -> Generation:
    """Answer one request greedily, without keeping anything for later requests.

    Args:
        model: In evaluation mode.
        request: Its tensors are on the model's device.
        max_new_tokens: At least 1.
        eos_token_id: Ends the answer; None takes the model's own.

    Raises:
        RequestError: The prompt leaves no position for an answer.
        DataError: The prompt does not have exactly one image placeholder, or its number of `<bbox>` tokens differs from
            that of boxes.
    """
    engine = Engine(model, EngineOptions(max_batch_size=1, cache_bytes=0))
    options = GenerationOptions(max_new_tokens=max_new_tokens, eos_token_id=eos_token_id)
    return engine.answer(replace(request, image_key=None), options)
