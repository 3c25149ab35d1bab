"""Small models and batches for tests."""

from pathlib import Path

import torch

from glamm.config.model import ModelConfig
from glamm.inference.requests import GenerationRequest
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID

VOCAB_SIZE = 64
CONFIG = ModelConfig.tiny(vocab_size=VOCAB_SIZE)
SEG, BBOX = CONFIG.special_tokens.seg, CONFIG.special_tokens.bbox
GOLDENS = Path(__file__).parents[1] / "goldens"

IMAGE_SIZES = ((60, 80), (50, 30))
RESIZED_SIZES = ((96, 128), (128, 77))


def build_model(config: ModelConfig = CONFIG, *, seed: int = 0) -> GLaMM:
    """A model with random weights."""
    torch.manual_seed(seed)
    return GLaMM.from_config(config).eval()


def random_images(count: int, *, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pixels for both encoders; the first images are the same for any count."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 2, 3, 128, 128)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return pixels[:, 0], pixels[:, 1]


def build_batch(
    conversations: list[list[int]],
    *,
    image_index: list[int],
    num_masks: list[int] | None = None,
    boxes: dict[int, list[list[float]]] | None = None,
    prompt_length: int = 3,
) -> Batch:
    """A batch of conversations `bos, image, *tokens`; everything after `prompt_length` tokens is supervised.

    Args:
        conversations: Tokens after the image.
        image_index: Image of each conversation.
        num_masks: Masks of each image; None for a batch without grounding.
        boxes: Regions by the index of their conversation.
        prompt_length: Tokens at the start that are not supervised.
    """
    images = max(image_index) + 1
    lengths = [len(tokens) + 2 for tokens in conversations]
    ids = torch.zeros(len(conversations), max(lengths), dtype=torch.long)
    for index, tokens in enumerate(conversations):
        ids[index, : lengths[index]] = torch.tensor([1, IMAGE_PLACEHOLDER_ID, *tokens])
    is_token = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    labels = ids.where(is_token, IGNORE_LABEL)
    labels[:, :prompt_length] = IGNORE_LABEL
    global_pixels, grounding_pixels = random_images(images)
    generator = torch.Generator().manual_seed(2)
    return Batch(
        global_pixels=global_pixels,
        grounding_pixels=None if num_masks is None else grounding_pixels,
        input_ids=ids,
        labels=labels,
        attention_mask=is_token,
        image_index=torch.tensor(image_index),
        boxes_xyxy_unit=tuple(
            torch.tensor((boxes or {}).get(index, []), dtype=torch.float32).view(-1, 4)
            for index in range(len(conversations))
        ),
        masks=tuple(
            torch.rand(count, *IMAGE_SIZES[image % 2], generator=generator) > 0.5
            for image, count in enumerate(num_masks or [])
        ),
        resized_sizes=tuple(RESIZED_SIZES[image % 2] for image in range(images)),
        original_sizes=tuple(IMAGE_SIZES[image % 2] for image in range(images)),
        sample_ids=tuple(f"toy/{index}" for index in range(len(conversations))),
    )


def build_request(
    tokens: list[int], *, boxes: list[list[float]] | None = None
) -> GenerationRequest:
    """A request whose prompt is `bos, image, *tokens`."""
    global_pixels, grounding_pixels = random_images(1)
    return GenerationRequest(
        global_pixels=global_pixels[0],
        grounding_pixels=grounding_pixels[0],
        resized_size=RESIZED_SIZES[0],
        original_size=IMAGE_SIZES[0],
        input_ids=torch.tensor([1, IMAGE_PLACEHOLDER_ID, *tokens]),
        boxes_xyxy_unit=torch.tensor(boxes or [], dtype=torch.float32).view(-1, 4),
    )
