"""Turns samples into a batch: each image once, text as tokens, boxes and masks in the order of their tokens.

Axis names: see `glamm.structures.batch`.
"""

import logging
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from glamm.config.model import ModelConfig
from glamm.data.shards.reader import read_pixels
from glamm.data.task_groups import GROUP_OF_TASK, GROUPS_WITH_MASKS
from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.geometry.preprocess import global_pixels, grounding_pixels, longest_side_size
from glamm.special_tokens import SEG
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL
from glamm.structures.sample import Sample, objects_by_id
from glamm.text.conversation import (
    PROMPT_STYLES,
    EncodedConversation,
    Round,
    TextTooLongError,
    encode_conversation,
)
from glamm.text.render import render_rounds
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Box, Size

_LEFT_OR_RIGHT = re.compile(r"\b(left|right)\b", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation of a batch.

    Args:
        encoded: Tokens, labels, and the rounds that fit into the model.
        regions: xyxy boxes in [0, 1], one for each `<bbox>` token.
        targets: One mask for each [SEG] token.
        sample_id: `Sample.sample_id`, for messages.
        index: Of its sample among those that were given; the ones between did not fit into the model.
    """

    encoded: EncodedConversation
    regions: tuple[Box, ...]
    targets: Bool[np.ndarray, "masks height width"]
    sample_id: str
    index: int


@dataclass(frozen=True, slots=True)
class ImageExample:
    """One image of a batch and the conversations about it.

    Args:
        global_pixels: RGB for the global encoder.
        grounding_pixels: RGB for the grounding encoder; None if the task group has no masks.
        resized_size: (height, width) of the image inside `grounding_pixels`; the rest is padding.
        mask_size: (height, width) of the masks: that of the image, or smaller.
        conversations: At least one.
    """

    global_pixels: UInt8[np.ndarray, "3 _ _"]
    grounding_pixels: UInt8[np.ndarray, "3 _ _"] | None
    resized_size: Size
    mask_size: Size
    conversations: tuple[Conversation, ...]


class SamplePreprocessor:
    """Turns samples of one image into the inputs of a model.

    Args:
        model_config: Decides the sizes of images, the prompt style and the maximum length of a conversation.
        tokenizer: The tokenizer of that model.
        seed: Decides, with the epoch and the sample id, the wording of questions, the choice of targets and the flip.
        flip_probability: How often an image is mirrored; never if a conversation about it mentions left or right.
        mask_side: Longest side of a mask in pixels; None keeps the size of the image.

    Attributes:
        max_tokens: The most tokens of a conversation; the image counts as one.
    """

    def __init__(
        self,
        *,
        model_config: ModelConfig,
        tokenizer: Tokenizer,
        seed: int,
        flip_probability: float,
        mask_side: int | None = None,
    ) -> None:
        self._config = model_config
        self._tokenizer = tokenizer
        self._seg_id = tokenizer.token_id(SEG)
        self._seed = seed
        self._flip_probability = flip_probability
        self._mask_side = mask_side
        image_tokens = model_config.global_encoder.num_tokens
        self.max_tokens = model_config.language_model.max_positions - image_tokens + 1
        self._mentioned_datasets: set[str] = set()

    def encode(self, sample: Sample) -> EncodedConversation | None:
        """The conversation about a sample with the wording of epoch 0; None if it does not fit into the model.

        If it does not, the caller says so: `preprocess` does not mention the data set again.
        """
        encoded = self._encode_rounds(sample, self._rng(sample, epoch=0))
        if encoded is None:
            self._mentioned_datasets.add(sample.dataset)
        return encoded

    def num_long_targets(self, sample: Sample) -> int:
        """Number of expressions, classes or regions of a sample whose text alone is too long for the model."""
        # a token is at least one byte: a short text needs no look at its tokens
        long = [it for it in sample.targets if 2 * len(it.text.encode()) > self.max_tokens]
        alone = [replace(sample, targets=(target,)) for target in long]
        return sum(self._encode_rounds(item, self._rng(item, epoch=0)) is None for item in alone)

    def preprocess(self, samples: Sequence[Sample], *, epoch: int) -> ImageExample | None:
        """Encode the samples' conversations and decode their image.

        Args:
            samples: At least one; all of one task group and about one image.
            epoch: Changes the random choices.

        Returns:
            None if no conversation fits into the model; a warning is logged once for each data set.

        Raises:
            DataError: The image is damaged, or a conversation has not one mask for each [SEG] token.
        """
        rng = self._rng(samples[0], epoch=epoch)
        encodings = [self._encode(sample, rng) for sample in samples]
        fitting = [(index, encoded) for index, encoded in enumerate(encodings) if encoded]
        if not fitting:
            return None
        first = samples[0]
        pixels = read_pixels(first.image)
        is_flipped = rng.random() < self._flip_probability and not any(
            _mentions_sides(encoded.rounds) for _, encoded in fitting
        )
        if is_flipped:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        grounding, resized = None, first.image.size
        if GROUP_OF_TASK[first.task] in GROUPS_WITH_MASKS:
            side = self._config.grounding_encoder.image_size
            grounding, resized = grounding_pixels(pixels, side=side)
        return ImageExample(
            global_pixels=global_pixels(
                pixels,
                side=self._config.global_encoder.image_size,
                is_cropped=self._config.compat.crops_global_image,
            ),
            grounding_pixels=grounding,
            resized_size=resized,
            mask_size=self._mask_size(first.image.size),
            conversations=tuple(
                self._conversation(samples[index], encoded, is_flipped=is_flipped, index=index)
                for index, encoded in fitting
            ),
        )

    def _rng(self, sample: Sample, *, epoch: int) -> random.Random:
        return random.Random(f"{self._seed}/{epoch}/{sample.sample_id}")  # noqa: S311 - not for security

    def _encode(self, sample: Sample, rng: random.Random) -> EncodedConversation | None:
        encoded = self._encode_rounds(sample, rng)
        if encoded is None and sample.dataset not in self._mentioned_datasets:
            self._mentioned_datasets.add(sample.dataset)
            logger.warning(
                "%s is not used: its text is longer than the %d tokens that the model has for text. Further ones of %s "
                "are not mentioned",
                sample.sample_id,
                self.max_tokens,
                sample.dataset,
            )
        return encoded

    def _encode_rounds(self, sample: Sample, rng: random.Random) -> EncodedConversation | None:
        """The conversation about a sample; without the rounds at the start that are too long, if rounds are independent."""
        rounds = render_rounds(sample, rng)
        style = PROMPT_STYLES[self._config.prompt_style]
        while rounds:
            try:
                return encode_conversation(
                    rounds, tokenizer=self._tokenizer, style=style, max_tokens=self.max_tokens
                )
            except TextTooLongError:
                rounds = rounds[1:] if sample.targets else ()
        return None

    def _mask_size(self, size: Size) -> Size:
        if self._mask_side is None or max(size) <= self._mask_side:
            return size
        return longest_side_size(size, side=self._mask_side)

    def _conversation(
        self, sample: Sample, encoded: EncodedConversation, *, is_flipped: bool, index: int
    ) -> Conversation:
        size = sample.image.size
        objects = objects_by_id(sample.objects)
        regions = [objects[id_].box for turn in encoded.rounds for id_ in turn.region_ids]
        target_ids = [ids for turn in encoded.rounds for ids in turn.seg_targets]
        num_seg = encoded.input_ids.count(self._seg_id)
        if num_seg != len(target_ids):
            raise DataError(
                f"has {num_seg} [SEG] tokens and {len(target_ids)} masks", record=sample.sample_id
            )
        targets = np.zeros((len(target_ids), *self._mask_size(size)), dtype=bool)
        for target, ids in zip(targets, target_ids, strict=True):
            if ids:  # an expression without a referent keeps an empty mask
                union = masks.union([mask for id_ in ids if (mask := objects[id_].mask)])
                target[:] = masks.resize(masks.decode(union), target.shape)
        if is_flipped:
            targets = np.ascontiguousarray(targets[:, :, ::-1])
            regions = [(size[1] - x2, y1, size[1] - x1, y2) for x1, y1, x2, y2 in regions]
        units = tuple(boxes.to_unit(box, size=size) for box in regions)
        return Conversation(encoded, units, targets, sample.sample_id, index)


def collate(examples: Sequence[ImageExample], *, pad_id: int) -> Batch:
    """Join examples into a batch.

    Args:
        examples: At least one; all of one task group.
        pad_id: Token id that pads conversations on the right.
    """
    conversations = [item for example in examples for item in example.conversations]
    image_index = [index for index, example in enumerate(examples) for _ in example.conversations]
    has_masks = examples[0].grounding_pixels is not None
    grounding = [pixels for item in examples if (pixels := item.grounding_pixels) is not None]
    input_ids = [conversation.encoded.input_ids for conversation in conversations]
    labels = [conversation.encoded.labels for conversation in conversations]
    return Batch(
        global_pixels=torch.from_numpy(np.stack([item.global_pixels for item in examples])),
        grounding_pixels=torch.from_numpy(np.stack(grounding)) if has_masks else None,
        input_ids=_pad(input_ids, pad_id),
        labels=_pad(labels, IGNORE_LABEL),
        attention_mask=_pad([(1,) * len(ids) for ids in input_ids], 0).bool(),
        image_index=torch.tensor(image_index),
        boxes_xyxy_unit=tuple(
            torch.tensor(conversation.regions, dtype=torch.float32).reshape(-1, 4)
            for conversation in conversations
        ),
        masks=tuple(
            torch.from_numpy(np.concatenate([item.targets for item in example.conversations]))
            for example in examples
        )
        if has_masks
        else (),
        resized_sizes=tuple(example.resized_size for example in examples),
        original_sizes=tuple(example.mask_size for example in examples),
        sample_ids=tuple(conversation.sample_id for conversation in conversations),
    )


def _mentions_sides(rounds: Sequence[Round]) -> bool:
    return any(_LEFT_OR_RIGHT.search(f"{turn.question} {turn.answer}") for turn in rounds)


def _pad(sequences: Sequence[Sequence[int]], value: int) -> Int[Tensor, "conversations length"]:
    longest = max(map(len, sequences))
    return torch.tensor(
        [[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences]
    )
