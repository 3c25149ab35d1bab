"""What a case feeds to the model, and what its texts become."""

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

_ANSWER_STARTS = "ASSISTANT:"


def build_batch(conformance: ConformanceSet, case: Case) -> Batch:
    """Bring a training case into the form that the model reads."""
    description, reference = case.description, case.reference
    names = [name.removesuffix(".png") for name in description.images]
    offsets = _given(case, "in.offset").tolist()
    per_image = torch.tensor([end - start for start, end in pairwise(offsets)])
    image_index = torch.arange(len(names)).repeat_interleave(per_image)
    rows = range(len(image_index))
    has_masks = description.has_grounding_images
    return Batch(
        global_pixels=torch.stack([_pixels(conformance, f"clip_u8.{name}") for name in names]),
        grounding_pixels=torch.stack([_square(conformance, name) for name in names])
        if has_masks
        else None,
        input_ids=_given(case, "in.input_ids"),
        labels=_given(case, "in.labels"),
        attention_mask=_given(case, "in.attention_masks").bool(),
        image_index=image_index,
        boxes_xyxy_unit=tuple(reference.get(f"in.bboxes.{row}", torch.zeros(0, 4)) for row in rows),
        masks=tuple(_given(case, f"in.masks.{index}").bool() for index in range(len(names)))
        if has_masks
        else (),
        resized_sizes=description.resize_list or (),
        original_sizes=description.label_sizes or (),
        sample_ids=tuple(f"{case.name}/{row}" for row in rows),
    )


def build_request(conformance: ConformanceSet, case: Case) -> GenerationRequest:
    """Bring a generating case into the form that the engine reads."""
    description = case.description
    name = description.image.removesuffix(".png")
    if not (description.resize_list and description.orig_sizes):
        raise DataError("resize_list or orig_sizes is missing", record=case.name)
    return GenerationRequest(
        global_pixels=_pixels(conformance, f"clip_u8.{name}"),
        grounding_pixels=_square(conformance, name),
        resized_size=description.resize_list[0],
        original_size=description.orig_sizes[0],
        input_ids=_given(case, "in.input_ids")[0],
        boxes_xyxy_unit=case.reference.get("in.bboxes.0", torch.zeros(0, 4)),
    )


def encode_texts(conformance: ConformanceSet, texts: Sequence[str]) -> dict[str, Tensor]:
    """Tokenise whole conversations; nothing without a tokenizer.

    Args:
        conformance: Has the tokenizer.
        texts: With all special tokens in them.

    Returns:
        `in.input_ids`, `in.labels` (answers and their end tokens) and `in.attention_masks`, padded on the right.
    """
    tokenizer = conformance.tokenizer
    if tokenizer is None:
        return {}
    rows, labels = [], []
    for text in texts:
        encoding = tokenizer.encode(text)
        is_answer = _answer_characters(text)
        rows.append(torch.tensor(encoding.ids))
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
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
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
    start = text.find(_ANSWER_STARTS)
    while start >= 0:
        start += len(_ANSWER_STARTS)
        end = text.find(END, start)
        end = len(text) if end < 0 else end + len(END)
        flags[start:end] = [True] * (end - start)
        start = text.find(_ANSWER_STARTS, end)
    return flags


def _given(case: Case, name: str) -> Tensor:
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


def _square(conformance: ConformanceSet, name: str) -> UInt8[Tensor, "3 side side"]:
    """Put a resized image top left into the grounding encoder's square."""
    pixels = _pixels(conformance, f"sam_u8.{name}")
    side = conformance.config.grounding_encoder.image_size
    square = pixels.new_zeros((3, side, side))
    square[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return square
