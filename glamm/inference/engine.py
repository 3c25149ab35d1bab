"""Generation: many requests run through one model together, and every part of it runs as seldom as possible.

- The prompt is read once; then one token at a time with the keys and values of what came before.
- All running answers take their step together; requests join and leave between two steps.
- An image is encoded once, and the prompt up to and including it is read once, however many questions follow.
- The grounding encoder runs when a [SEG] came; all masks that are due are decoded in one run.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from glamm.errors import BusyError, RequestError
from glamm.inference.image_embeddings import ImageEmbeddingCache
from glamm.inference.kv_cache import PrefixKV, BatchedKVCache
from glamm.inference.onednn_linear import OneDnnLinear
from glamm.inference.prompts import embed_prompt, prefix_key, prefix_length
from glamm.inference.request_state import RequestState
from glamm.inference.requests import (
    Event,
    Generation,
    GenerationOptions,
    GenerationRequest,
    NewMask,
    NewToken,
)
from glamm.inference.sampling import choose_token
from glamm.lru_cache import ContentCache
from glamm.models.glamm import GLaMM

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How much an engine does at once, and how much it keeps.

    Args:
        max_batch_size: Answers that run together.
        max_waiting: Requests that may wait for a place.
        max_prefills_per_step: Prompts read between two steps; more fill the batch sooner, fewer keep running answers flowing.
        cache_bytes: Of everything kept about images.
        prefetch_grounding: Start the grounding encoder with the prompt instead of with the first [SEG]; on a GPU it then
            runs beside the language model.
        compile_decode: Give every step the same shapes and compile it; pays on a GPU, after a slow start.
    """

    max_batch_size: int = 16
    max_waiting: int = 64
    max_prefills_per_step: int = 4
    cache_bytes: int = 1 << 30
    prefetch_grounding: bool = False
    compile_decode: bool = False


class Engine:
    """Answers requests, from any number of threads.

    There is no thread of its own: whoever waits for an answer drives the engine, one at a time, and each step serves
    everybody.

    Args:
        model: In evaluation mode; its weights must not change while the engine keeps something.
        options: Sizes.
    """

    def __init__(self, model: GLaMM, options: EngineOptions | None = None) -> None:
        self.model = model
        self.options = options or EngineOptions()
        self.cache = ContentCache(max_bytes=self.options.cache_bytes)
        self._images = ImageEmbeddingCache(
            model, self.cache, prefetch_grounding=self.options.prefetch_grounding
        )
        self._waiting = deque[RequestState]()
        self._running: list[RequestState] = []
        self._finished: list[RequestState] = []
        self._rows = self._no_rows()
        self._turn = threading.Condition()
        self._is_stepping = False
        language = model.language_model.model
        self._read: Callable[..., Tensor] = lambda **inputs: language(**inputs).last_hidden_state
        self._read_step = (
            torch.compile(self._read, dynamic=False) if self.options.compile_decode else self._read
        )
        self._few_rows = OneDnnLinear()
        self.device = next(model.parameters()).device

    def submit(self, request: GenerationRequest, options: GenerationOptions) -> RequestState:
        """Queue a request; nothing happens before someone waits for it, or for another.

        Raises:
            RequestError: The prompt leaves no room for an answer, or a box is none.
            BusyError: Too many requests wait.
        """
        job = RequestState(request, options, max_tokens=self._room(request, options))
        with self._turn:
            if len(self._waiting) >= self.options.max_waiting:
                raise BusyError(
                    f"{len(self._waiting)} questions are waiting already: try again in a few seconds"
                )
            self._waiting.append(job)
        return job

    def wait(self, job: RequestState) -> Generation:
        """Drive the engine until an answer is there.

        Raises:
            DataError: The prompt has not exactly one image placeholder, or not one box a `<bbox>`.
        """
        self._drive(lambda: job.is_done)
        return job.generation()

    def events(self, job: RequestState) -> Iterator[Event]:
        """Tokens and masks as they come.

        Raises:
            DataError: As `wait`.
        """
        while True:
            self._drive(lambda: bool(job.events) or job.is_done)
            while job.events:
                yield job.events.popleft()
            if job.is_done and not job.events:
                job.generation()
                return

    def cancel(self, job: RequestState) -> None:
        """End an answer where it is and free its place."""
        job.is_cancelled = True
        self._drive(lambda: job.is_done)

    def answer(self, request: GenerationRequest, options: GenerationOptions) -> Generation:
        """Submit and wait."""
        return self.wait(self.submit(request, options))

    def _room(self, request: GenerationRequest, options: GenerationOptions) -> int:
        boxes = request.boxes_xyxy_unit
        is_box = (boxes[:, :2] < boxes[:, 2:]).all(1) & ((boxes >= 0) & (boxes <= 1)).all(1)
        if not is_box.all():
            index = int((~is_box).nonzero()[0])
            raise RequestError(
                f"box {index + 1} is {boxes[index].tolist()}: 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 are needed"
            )
        length = len(request.input_ids) - 1 + self.model.config.global_encoder.num_tokens
        limit = self.model.config.language_model.max_positions
        if length >= limit:
            raise RequestError(
                f"the prompt takes {length} of the model's {limit} positions, image included: shorten it"
            )
        return min(options.max_new_tokens, limit - length)

    def _drive(self, is_satisfied: Callable[[], bool]) -> None:
        """Step, or wait while another thread does, until something holds."""
        with self._turn:
            while not is_satisfied():
                if self._is_stepping:
                    self._turn.wait()
                    continue
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
        """Let in, take one token each, decode the masks that are due."""
        try:
            self._drop_cancelled()
            self._admit()
            self._decode()
            self._ground()
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and the engine stays alive
            self._fail(error)

    def _drop_cancelled(self) -> None:
        for slot in reversed(range(len(self._running))):
            if self._running[slot].is_cancelled:
                self._leave(slot)
        for job in [job for job in self._waiting if job.is_cancelled]:
            self._waiting.remove(job)
            job.finish("cancelled")

    def _admit(self) -> None:
        free = self.options.max_batch_size - len(self._running)
        jobs = [
            self._waiting.popleft()
            for _ in range(min(free, len(self._waiting), self.options.max_prefills_per_step))
        ]
        if not jobs:
            return
        try:
            self._images.see(jobs)
        except Exception as error:  # noqa: BLE001 - the running answers have nothing to do with it
            for job in jobs:
                job.fail(error)
            return
        for job in jobs:
            try:
                self._prefill(job)
            except Exception as error:  # noqa: BLE001 - one bad prompt is no reason to end the others
                job.fail(error)

    def _prefill(self, job: RequestState) -> None:
        """Read the prompt and take the first token from its last state."""
        if job.features is None:
            raise RuntimeError("the image was not encoded")
        embeddings = embed_prompt(self.model, job.request, job.features)
        job.features = None
        key = prefix_key(self.model, job.request)
        prefix = self.cache.get(key, PrefixKV) if key else None
        cache = prefix.to_cache() if prefix else DynamicCache()
        start = prefix.length if prefix else 0
        states = self._read(
            inputs_embeds=embeddings[:, start:], past_key_values=cache, use_cache=True
        )
        read = PrefixKV.of(cache)
        if key and prefix is None:
            self.cache.put(key, read.first(prefix_length(self.model, job.request)))
        job.count(prefill_tokens=embeddings.shape[1] - start)
        state = states[:, -1]
        self._accept(job, state[0], self.model.language_model.lm_head(state)[0])
        if job.finish_reason is None:
            self._rows.append(read)
            self._running.append(job)
        else:
            self._finished.append(job)

    def _decode(self) -> None:
        """Take one more token for every running answer."""
        if not self._running:
            return
        shape = self._rows.begin_step()
        tokens = torch.zeros(len(shape.positions), dtype=torch.long)
        tokens[: len(self._running)] = torch.tensor([job.token_ids[-1] for job in self._running])
        language = self.model.language_model
        embeddings = language.get_input_embeddings()(tokens.to(shape.positions.device))
        with nullcontext() if self.options.compile_decode else self._few_rows:
            states = self._read_step(
                inputs_embeds=embeddings[:, None],
                attention_mask=shape.mask,
                position_ids=shape.positions,
                past_key_values=self._rows,
                use_cache=True,
            )[: len(self._running), 0]
            logits = language.lm_head(states)
        best = logits.argmax(1).tolist()
        for slot in reversed(range(len(self._running))):
            job = self._running[slot]
            job.count(decode_steps=1)
            self._accept(job, states[slot], logits[slot], best=best[slot])
            if job.finish_reason is not None:
                self._leave(slot)

    def _accept(
        self,
        job: RequestState,
        state: Float[Tensor, " hidden"],
        logits: Float[Tensor, " vocabulary"],
        *,
        best: int | None = None,
    ) -> None:
        """Choose a token and see whether the answer ends with it."""
        options, special = job.options, self.model.config.special_tokens
        token = (
            best
            if best is not None and options.temperature == 0
            else choose_token(
                logits,
                temperature=options.temperature,
                top_p=options.top_p,
                generator=job.generator,
            )
        )
        job.token_ids.append(token)
        job.events.append(NewToken(token))
        if token == special.seg:
            job.seg_states.append(state.clone())
        end = special.eos if options.eos_token_id is None else options.eos_token_id
        is_stopped = token == end or token in options.stop_token_ids
        if is_stopped or (options.should_stop and options.should_stop(job.token_ids)):
            job.finish_reason = "stop"
        elif len(job.token_ids) >= job.max_tokens:
            job.finish_reason = "length"

    def _leave(self, slot: int) -> None:
        """Free the place of an answer; the last row takes it."""
        job = self._running[slot]
        self._rows.remove(slot)
        self._running[slot] = self._running[-1]
        self._running.pop()
        self._finished.append(job)
        if job.is_cancelled:
            job.finish_reason = "cancelled"

    def _ground(self) -> None:
        """Decode all masks that are due in one run, and hand over what is finished."""
        at_once = [job for job in self._running if job.options.stream_masks]
        due = [
            job
            for job in (*at_once, *self._finished)
            if len(job.seg_states) > len(job.masks) and not job.is_cancelled
        ]
        if due:
            self._images.ground(due)
            places = {image: place for place, image in enumerate({job.image: job for job in due})}
            by_image = {job.image: job.embedding for job in due}
            embeddings = torch.stack([one for one in by_image.values() if one is not None])
            states = [job.seg_states[len(job.masks) :] for job in due]
            image_index = torch.tensor(
                [places[job.image] for job, own in zip(due, states, strict=True) for _ in own],
                device=embeddings.device,
            )
            logits = self.model.decode_seg_states(
                torch.stack([state for own in states for state in own]), embeddings, image_index
            )
            for job, own in zip(due, logits.split([len(own) for own in states]), strict=True):
                job.count(mask_decoder_calls=1)
                for one in own:
                    job.events.append(NewMask(len(job.masks), one))
                    job.masks.append(one.clone())
        for job in self._finished:
            job.finish(job.finish_reason or "stop")
        self._finished = []

    def _fail(self, error: Exception) -> None:
        """Tell everybody who runs, and begin again with empty rows: nothing about them is certain any more."""
        for job in (*self._running, *self._finished):
            job.fail(error)
        self._running, self._finished = [], []
        self._rows = self._no_rows()

    def _no_rows(self) -> BatchedKVCache:
        return BatchedKVCache(
            max_batch_size=self.options.max_batch_size,
            max_length=self.model.config.language_model.max_positions,
            is_static=self.options.compile_decode,
        )


def generate(
    model: GLaMM,
    request: GenerationRequest,
    *,
    max_new_tokens: int,
    eos_token_id: int | None = None,
) -> Generation:
    """Answer one request greedily, with nothing kept for later.

    Args:
        model: In evaluation mode.
        request: On the model's device.
        max_new_tokens: At least 1.
        eos_token_id: Ends the answer; None takes the model's own.

    Raises:
        RequestError: The prompt is longer than the model can read.
        DataError: The prompt has not exactly one image placeholder, or not one box a `<bbox>`.
    """
    engine = Engine(model, EngineOptions(max_batch_size=1, cache_bytes=0))
    options = GenerationOptions(max_new_tokens=max_new_tokens, eos_token_id=eos_token_id)
    return engine.answer(replace(request, image_key=None), options)
