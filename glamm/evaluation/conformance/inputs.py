"""The inputs of a case: its batch or request, and its tokenized texts."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import UInt8
from torch import Tensor

from glamm.errors import DataError
from glamm.evaluation.conformance.layout import Case, ConformanceSet
from glamm.inference.requests import GenerationRequest
from glamm.special_tokens import END
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL

_ANSWER_PREFIX = "ASSISTANT:"


def build_batch(conformance: ConformanceSet, case: Case) -> Batch:
    """Build the batch of a case that runs whole conversations.

    Raises:
        DataError: A tensor or an image of the case is missing.
    """
    description, reference = case.description, case.reference
    names = [name.removesuffix(".png") for name in description.images]
    offsets = _required(case, "in.offset").tolist()
    per_image = torch.tensor([end - start for start, end in pairwise(offsets)])
    image_index = torch.arange(len(names)).repeat_interleave(per_image)
    conversations = range(len(image_index))
    has_masks = description.has_grounding_images
    return Batch(
        global_pixels=torch.stack([_pixels(conformance, f"clip_u8.{name}") for name in names]),
        grounding_pixels=torch.stack([_padded_square(conformance, name) for name in names])
        if has_masks
        else None,
        input_ids=_required(case, "in.input_ids"),
        labels=_required(case, "in.labels"),
        attention_mask=_required(case, "in.attention_masks").bool(),
        image_index=image_index,
        boxes_xyxy_unit=tuple(
            reference.get(f"in.bboxes.{index}", torch.zeros(0, 4)) for index in conversations
        ),
        masks=tuple(_required(case, f"in.masks.{index}").bool() for index in range(len(names)))
        if has_masks
        else (),
        resized_sizes=description.resize_list or (),
        original_sizes=description.label_sizes or (),
        sample_ids=tuple(f"{case.name}/{index}" for index in conversations),
    )


def build_request(conformance: ConformanceSet, case: Case) -> GenerationRequest:
    """Build the request of a case that generates an answer.

    Raises:
        DataError: A tensor, an image or a size of the case is missing.
    """
    description = case.description
    name = description.image.removesuffix(".png")
    if not (description.resize_list and description.orig_sizes):
        raise DataError("resize_list or orig_sizes is missing", record=case.name)
    return GenerationRequest(
        global_pixels=_pixels(conformance, f"clip_u8.{name}"),
        grounding_pixels=_padded_square(conformance, name),
        resized_size=description.resize_list[0],
        original_size=description.orig_sizes[0],
        input_ids=_required(case, "in.input_ids")[0],
        boxes_xyxy_unit=case.reference.get("in.bboxes.0", torch.zeros(0, 4)),
    )


def encode_texts(conformance: ConformanceSet, texts: Sequence[str]) -> dict[str, Tensor]:
    """Tokenize whole conversations; empty if the set has no tokenizer.

    Args:
        conformance: The set with the tokenizer.
        texts: Conversations with all their special tokens.

    Returns:
        `in.input_ids`, `in.labels` (answers and their end tokens) and `in.attention_masks`, padded on the right.
    """
    tokenizer = conformance.tokenizer
    if tokenizer is None:
        return {}
    input_ids, labels = [], []
    for text in texts:
        encoding = tokenizer.encode(text)
        is_answer = _answer_characters(text)
        input_ids.append(torch.tensor(encoding.ids))
        labels.append(
            torch.tensor(
                [IGNORE_LABEL]
                + [
                    token if is_answer[start] else IGNORE_LABEL
                    for token, start in zip(encoding.ids[1:], encoding.starts[1:], strict=True)
                ]
            )
        )
    pad = conformance.config.special_tokens.pad
    ids = torch.nn.utils.rnn.pad_sequence(input_ids, batch_first=True, padding_value=pad)
    return {
        "in.input_ids": ids,
        "in.labels": torch.nn.utils.rnn.pad_sequence(
            labels, batch_first=True, padding_value=IGNORE_LABEL
        ),
        "in.attention_masks": (ids != pad).to(torch.uint8),
    }


def _answer_characters(text: str) -> list[bool]:
    """For each character, whether it belongs to an answer or to its end token."""
    flags = [False] * len(text)
    start = text.find(_ANSWER_PREFIX)
    while start >= 0:
        start += len(_ANSWER_PREFIX)
        end = text.find(END, start)
        end = len(text) if end < 0 else end + len(END)
        flags[start:end] = [True] * (end - start)
        start = text.find(_ANSWER_PREFIX, end)
    return flags


def _required(case: Case, name: str) -> Tensor:
    try:
        return case.reference[name]
    except KeyError as error:
        raise DataError("the tensor is missing", record=case.name, field=name) from error


def _pixels(conformance: ConformanceSet, name: str) -> UInt8[Tensor, "3 height width"]:
    try:
        return conformance.pixels[name]
    except KeyError as error:
        file = conformance.folder / "pixels.safetensors"
        raise DataError("the image is missing", file=file, record=name) from error


def _padded_square(conformance: ConformanceSet, name: str) -> UInt8[Tensor, "3 side side"]:
    """Pad a resized image to the grounding encoder's square, to the right and below."""
    pixels = _pixels(conformance, f"sam_u8.{name}")
    side = conformance.config.grounding_encoder.image_size
    square = pixels.new_zeros((3, side, side))
    square[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return square
