"""From samples to a batch: images once, words as tokens, boxes and masks in the order of their tokens.

Axis names: see `glamm.structures.batch`.
"""

import logging
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from glamm.config.model import ModelConfig
from glamm.data.task_groups import GROUP_OF_TASK, GROUPS_WITH_MASKS
from glamm.errors import DataError
from glamm.geometry import boxes, masks
from glamm.geometry.image_files import decode
from glamm.geometry.preprocess import global_pixels, grounding_pixels, longest_side_size
from glamm.special_tokens import SEG
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL
from glamm.structures.sample import ImageRef, Sample, objects_by_id
from glamm.text.conversation import PROMPT_STYLES, EncodedConversation, Round, encode_conversation
from glamm.text.render import render_rounds
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Box, Size

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row of a batch.

    Args:
        encoded: Tokens, labels, and the rounds that fitted.
        regions: Boxes in units of the image, one a `<bbox>`.
        targets: Masks, one a [SEG].
        sample_id: Where it comes from.
    """

    encoded: EncodedConversation
    regions: tuple[Box, ...]
    targets: Bool[np.ndarray, "masks height width"]
    sample_id: str


@dataclass(frozen=True, slots=True)
class ImageExample:
    """One image of a batch and the conversations about it.

    Args:
        global_pixels: RGB for the global encoder.
        grounding_pixels: RGB for the grounding encoder; None where no masks are wanted.
        resized_size: (height, width) that the image fills in `grounding_pixels`.
        mask_size: (height, width) of the masks: the image's own, or smaller.
        conversations: At least one.
    """

    global_pixels: UInt8[np.ndarray, "3 _ _"]
    grounding_pixels: UInt8[np.ndarray, "3 _ _"] | None
    resized_size: Size
    mask_size: Size
    conversations: tuple[Conversation, ...]


class SamplePreprocessor:
    """Turns samples of one image into what a model of one configuration reads.

    Args:
        model_config: Says the sizes of images, the words around a conversation and how long it may be.
        tokenizer: The model's.
        seed: Of the run; with the epoch and the sample's id it decides wording and choice of targets.
        flip_probability: How often an image without the words left and right is mirrored.
        mask_side: Longest side of a mask; None keeps the images' sizes.
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
        self._max_tokens = model_config.language_model.max_positions - image_tokens + 1
        self._told: set[str] = set()

    def make(self, samples: Sequence[Sample], *, epoch: int) -> ImageExample | None:
        """Render, encode and decode.

        Args:
            samples: Conversations of one kind about one image.
            epoch: Another epoch, another wording.

        Returns:
            None where no conversation fits into the model; the log says so once for each.
        """
        rng = random.Random(f"{self._seed}/{epoch}/{samples[0].sample_id}")  # noqa: S311 - wording, no secret
        rendered = [(sample, self._encode(sample, rng)) for sample in samples]
        fitting = [(sample, encoded) for sample, encoded in rendered if encoded]
        if not fitting:
            return None
        first = samples[0]
        pixels = read_pixels(first.image)
        is_flipped = rng.random() < self._flip_probability and not any(
            _says_sides(encoded.rounds) for _, encoded in fitting
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
                self._conversation(sample, encoded, is_flipped=is_flipped)
                for sample, encoded in fitting
            ),
        )

    def _encode(self, sample: Sample, rng: random.Random) -> EncodedConversation | None:
        rounds = render_rounds(sample, rng)
        try:
            return encode_conversation(
                rounds,
                tokenizer=self._tokenizer,
                style=PROMPT_STYLES[self._config.prompt_style],
                max_tokens=self._max_tokens,
            )
        except ValueError as error:
            if sample.sample_id not in self._told:
                self._told.add(sample.sample_id)
                logger.warning("%s is not trained: %s", sample.sample_id, error)
            return None

    def _mask_size(self, size: Size) -> Size:
        if self._mask_side is None or max(size) <= self._mask_side:
            return size
        return longest_side_size(size, side=self._mask_side)

    def _conversation(
        self, sample: Sample, encoded: EncodedConversation, *, is_flipped: bool
    ) -> Conversation:
        size = sample.image.size
        known = objects_by_id(sample.objects)
        regions = [known[number].box for turn in encoded.rounds for number in turn.region_ids]
        wanted = [ids for turn in encoded.rounds for ids in turn.seg_targets]
        num_seg = encoded.input_ids.count(self._seg_id)
        if num_seg != len(wanted):
            raise DataError(
                f"{num_seg} [SEG] tokens and {len(wanted)} masks", record=sample.sample_id
            )
        targets = np.zeros((len(wanted), *self._mask_size(size)), dtype=bool)
        for target, ids in zip(targets, wanted, strict=True):
            if ids:  # an expression for something that is not there has an empty mask
                whole = masks.union([mask for i in ids if (mask := known[i].mask)])
                target[:] = masks.resize(masks.decode(whole), target.shape)
        if is_flipped:
            targets = np.ascontiguousarray(targets[:, :, ::-1])
            regions = [(size[1] - x2, y1, size[1] - x1, y2) for x1, y1, x2, y2 in regions]
        units = tuple(boxes.to_unit(box, size=size) for box in regions)
        return Conversation(encoded, units, targets, sample.sample_id)


def collate(examples: Sequence[ImageExample], *, pad_id: int) -> Batch:
    """Put images together.

    Args:
        examples: Of one kind of conversation; at least one.
        pad_id: Fills rows on the right.
    """
    rows = [talk for image in examples for talk in image.conversations]
    image_index = [index for index, image in enumerate(examples) for _ in image.conversations]
    has_masks = examples[0].grounding_pixels is not None
    grounding = [pixels for image in examples if (pixels := image.grounding_pixels) is not None]
    return Batch(
        global_pixels=torch.from_numpy(np.stack([image.global_pixels for image in examples])),
        grounding_pixels=torch.from_numpy(np.stack(grounding)) if has_masks else None,
        input_ids=_padded([row.encoded.input_ids for row in rows], pad_id),
        labels=_padded([row.encoded.labels for row in rows], IGNORE_LABEL),
        attention_mask=_padded([(1,) * len(row.encoded.input_ids) for row in rows], 0).bool(),
        image_index=torch.tensor(image_index),
        boxes_xyxy_unit=tuple(
            torch.tensor(row.regions, dtype=torch.float32).reshape(-1, 4) for row in rows
        ),
        masks=tuple(
            torch.from_numpy(np.concatenate([talk.targets for talk in image.conversations]))
            for image in examples
        )
        if has_masks
        else (),
        resized_sizes=tuple(image.resized_size for image in examples),
        original_sizes=tuple(image.mask_size for image in examples),
        sample_ids=tuple(row.sample_id for row in rows),
    )


def read_pixels(image: ImageRef) -> UInt8[np.ndarray, "height width 3"]:
    """Decode the image that a shard holds.

    Raises:
        DataError: Its bytes are damaged.
    """
    try:
        return decode(image.data or b"", size=image.size)
    except ValueError as error:
        raise DataError(f"{error}: run glamm data prepare again", record=image.key) from error


def _says_sides(rounds: Sequence[Round]) -> bool:
    return any(_SIDES.search(f"{turn.question} {turn.answer}") for turn in rounds)


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
