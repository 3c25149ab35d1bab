"""The public entry point of the library: load a model and ask questions about images."""

from collections.abc import Sequence
from pathlib import Path

import torch

from glamm.checkpoints import load_model
from glamm.config.dtype import DTypeName
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.inference.answer import Answer
from glamm.inference.device import AUTO, choose_device, torch_dtype
from glamm.inference.engine import Engine
from glamm.inference.engine_options import DEFAULT_MAX_NEW_TOKENS, EngineOptions
from glamm.inference.image_io import ImageSource
from glamm.inference.session import Session
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer


class GroundedPredictor:
    """Answers questions about images with text and masks.

    It may be used from many threads; their questions are answered together.

    Args:
        model: In evaluation mode.
        tokenizer: The one that the model was trained with.
        options: Batch size, queue and memory limits of the engine.

    Raises:
        CheckpointError: Model and tokenizer have different vocabularies.
    """

    def __init__(
        self, model: GLaMM, tokenizer: Tokenizer, *, options: EngineOptions | None = None
    ) -> None:
        expected = model.config.language_model.vocab_size
        if len(tokenizer) > expected:
            raise CheckpointError(
                f"the tokenizer has {len(tokenizer)} tokens, the model {expected}: they belong to different models"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.engine = Engine(model, options)

    @classmethod
    def from_checkpoint(
        cls,
        folder: Path | str,
        *,
        device: torch.device | str = AUTO,
        dtype: torch.dtype | DTypeName | None = None,
        options: EngineOptions | None = None,
    ) -> "GroundedPredictor":
        """Load a model folder written by `glamm train` or `glamm convert`.

        Args:
            folder: A model folder.
            device: `auto` is the first CUDA GPU if there is one, else the CPU; or a device of torch.
            dtype: The type in which weights are held and used; None is the type that they have in the file.
            options: Batch size, queue and memory limits of the engine.

        Raises:
            CheckpointError: A file is missing or damaged; the message names it.
            HostError: This machine does not have the device.
        """
        model, _ = load_model(Path(folder), device=choose_device(device), dtype=torch_dtype(dtype))
        tokenizer = Tokenizer.from_folder(Path(folder))
        return cls(model, tokenizer, options=options)

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.model.config

    def open(self, image: ImageSource) -> Session:
        """Open a session for several questions about one image.

        Args:
            image: A path, the bytes of a file, a PIL image, or RGB as uint8 (height, width, 3).

        Raises:
            RequestError: The image cannot be read.
        """
        return Session(self.engine, self.tokenizer, image)

    def ground(
        self,
        image: ImageSource,
        question: str,
        *,
        boxes: Sequence[Sequence[float | int]] = (),
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
    ) -> Answer:
        """Answer one question about an image.

        Args:
            image: As in `open`.
            question: As in `Session.answer`.
            boxes: As in `Session.answer`.
            max_new_tokens: As in `Session.answer`.

        Returns:
            Text, phrases and one mask per phrase; without phrases nothing was grounded.

        Raises:
            RequestError: The image cannot be read, a box lies outside it, the question is empty or too long, or
                the masks would need too much memory.
            BusyError: Too many questions are waiting.
        """
        return self.open(image).answer(question, boxes=boxes, max_new_tokens=max_new_tokens)
