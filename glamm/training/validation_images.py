"""Images of the validation with predicted and target masks, for the tracker."""

from collections.abc import Sequence

import cv2
from jaxtyping import Float
from torch import Tensor

from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL
from glamm.structures.sample import Task
from glamm.text.grounded import parse_grounded
from glamm.text.tokenizer import Tokenizer
from glamm.tracking.runs import ImageWithMasks


def draw_validation_images(
    batch: Batch, mask_logits: Sequence[Float[Tensor, "_ _ _"]], tokenizer: Tokenizer
) -> list[ImageWithMasks]:
    """The images that have one conversation, with the masks that were predicted given the correct answer.

    Args:
        batch: A validation batch; only grounded conversations are drawn, whose answers name their masks.
        mask_logits: For each image, before the sigmoid; empty if the batch has no masks.
        tokenizer: Decodes the answer.
    """
    if batch.task not in (None, Task.GROUNDED_CONVERSATION):
        return []
    conversation_images = batch.image_index.tolist()
    images = []
    for index, (height, width) in enumerate(batch.original_sizes):
        if not mask_logits or conversation_images.count(index) != 1:
            continue
        conversation = conversation_images.index(index)
        labels = batch.labels[conversation].tolist()
        answer = parse_grounded(tokenizer.decode([t for t in labels if t != IGNORE_LABEL]))
        phrases = tuple(answer.text[start:end] for start, end in answer.ranges)
        pixels = batch.global_pixels[index].cpu().numpy().transpose(1, 2, 0)
        images.append(
            ImageWithMasks(
                name=batch.sample_ids[conversation],
                image=cv2.resize(pixels, (width, height)),
                predicted=(mask_logits[index] > 0).cpu().numpy(),
                predicted_phrases=phrases,
                truth=batch.masks[index].cpu().numpy(),
                truth_phrases=phrases,
                text=answer.text,
                reference=answer.text,
            )
        )
    return images
