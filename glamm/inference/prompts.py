"""The prompt of a request, as input of the language model."""

from collections.abc import Hashable

import torch
from jaxtyping import Float
from torch import Tensor

from glamm.inference.requests import GenerationRequest
from glamm.models.clip.encoder import ImageFeatures
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID


def embed_prompt(
    model: GLaMM, request: GenerationRequest, features: ImageFeatures
) -> Float[Tensor, "1 positions hidden"]:
    """Embed a request's text and insert its image and regions.

    Args:
        model: Provides the embeddings and the encoder of regions.
        request: One question about one image.
        features: Output of the global encoder for that image.
    """
    ids = request.input_ids[None]
    batch = Batch(
        global_pixels=request.global_pixels[None],
        grounding_pixels=None,
        input_ids=ids,
        labels=torch.full_like(ids, IGNORE_LABEL),
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=ids.new_zeros(1),
        boxes_xyxy_unit=(request.boxes_xyxy_unit,),
        masks=(),
        resized_sizes=(request.resized_size,),
        original_sizes=(request.original_size,),
        sample_ids=("request",),
    )
    return model.build_inputs(batch, features).embeddings


def num_positions(model: GLaMM, request: GenerationRequest) -> int:
    """Positions of the prompt in the language model, image tokens included."""
    return len(request.input_ids) - 1 + model.config.global_encoder.num_tokens


def prefix_length(model: GLaMM, request: GenerationRequest) -> int:
    """Positions up to and including the image."""
    placeholder = int((request.input_ids == IMAGE_PLACEHOLDER_ID).nonzero()[0])
    return placeholder + model.config.global_encoder.num_tokens


def prefix_key(model: GLaMM, request: GenerationRequest) -> tuple[Hashable, ...] | None:
    """Cache key of the prompt up to and including the image; None if it must not be cached."""
    ids = request.input_ids.tolist()
    before = tuple(ids[: ids.index(IMAGE_PLACEHOLDER_ID)])
    if request.image_key is None or model.config.special_tokens.bbox in before:
        return None
    return "prefix", request.image_key, before
