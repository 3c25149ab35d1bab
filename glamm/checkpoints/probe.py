"""A forward pass of every part of a model on fixed input: equal models have equal probes."""

import torch
from torch import Tensor

from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID


@torch.inference_mode()
def probe(model: GLaMM) -> dict[str, Tensor]:
    """Run every part of a model on fixed random input.

    Args:
        model: In evaluation mode, on the CPU.

    Returns:
        `logits` of a prompt that contains a region, and low-resolution `masks` of its last two states.
    """
    generator = torch.Generator().manual_seed(0)
    config = model.config
    side, square = config.global_encoder.image_size, config.grounding_encoder.image_size
    tokens = config.special_tokens
    ids = torch.tensor([[tokens.bos, IMAGE_PLACEHOLDER_ID, tokens.bbox, 5, tokens.seg, tokens.eos]])

    def pixels(size: int) -> Tensor:
        return torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, generator=generator)

    batch = Batch(
        global_pixels=pixels(side),
        grounding_pixels=pixels(square),
        input_ids=ids,
        labels=torch.full_like(ids, IGNORE_LABEL),
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=torch.zeros(1, dtype=torch.long),
        boxes_xyxy_unit=(torch.tensor([[0.1, 0.2, 0.7, 0.9]]),),
        masks=(),
        resized_sizes=((square, square),),
        original_sizes=((square, square),),
        sample_ids=("probe",),
    )
    inputs = model.build_inputs(batch, model.encode_image(batch.global_pixels))
    states = model.language_model.model(inputs_embeds=inputs.embeddings).last_hidden_state
    embeddings = model.encode_grounding(pixels(square), ((square, square),))
    masks = model.decode_seg_states(states[0, -2:], embeddings, torch.zeros(2, dtype=torch.long))
    return {"logits": model.language_model.lm_head(states).float(), "masks": masks.float()}
