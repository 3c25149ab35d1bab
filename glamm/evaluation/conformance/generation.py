"""Compute the tensors of a case that generates an answer."""

import torch
from torch import Tensor

from glamm.evaluation.conformance.inputs import build_request, encode_texts
from glamm.evaluation.conformance.layout import Case, ConformanceSet
from glamm.evaluation.conformance.recording import Recording, record_outputs
from glamm.evaluation.conformance.training import ComputedCase, crop_to_reference
from glamm.inference.engine import generate
from glamm.models.glamm import GLaMM


def compute_generation(model: GLaMM, conformance: ConformanceSet, case: Case) -> ComputedCase:
    """Generate an answer as the service does: with a KV cache, one new token at a time."""
    request = build_request(conformance, case)
    with record_outputs(model) as recording:
        generation = generate(
            model,
            request,
            max_new_tokens=case.description.max_tokens_new,
            eos_token_id=case.description.eos_token_id,
        )
    tensors = {
        "out.output_ids": torch.cat([request.input_ids, torch.tensor(generation.token_ids)])[None],
        "out.pred_masks.0": model.restore_masks(
            generation.mask_logits,
            resized_size=request.resized_size,
            original_size=request.original_size,
        ),
    }
    tensors |= _step_tensors(recording, generation.token_ids, model)
    for features in recording.outputs("region_encoder"):
        tensors["mid.region_features.0"] = features
    grounding = model.config.grounding_encoder
    prompts = recording.outputs("text_to_mask_projector")
    side = 4 * grounding.grid_size
    low_res_masks = [masks for masks, _ in recording.outputs("mask_decoder")]
    # an answer without [SEG] runs neither projector nor decoder, and has no masks
    tensors["mid.seg_embeddings"] = torch.cat([torch.zeros(0, grounding.out_channels), *prompts])
    tensors["out.low_res_masks.0"] = torch.cat([torch.zeros(0, side, side), *low_res_masks])
    encoded = encode_texts(conformance, [case.description.prompt])
    tensors |= {name: value for name, value in encoded.items() if name == "in.input_ids"}
    return ComputedCase(crop_to_reference(tensors, case))


def _step_tensors(
    recording: Recording, new_ids: tuple[int, ...], model: GLaMM
) -> dict[str, Tensor]:
    """States and logits of the prompt and of every decoding step."""
    states = torch.cat(
        [output.last_hidden_state for output in recording.outputs("language_model")], dim=1
    )
    logits = torch.cat(recording.outputs("head"))
    prompt_length = states.shape[1] - len(new_ids) + 1
    seg = model.config.special_tokens.seg
    seg_index = [
        (0, prompt_length - 1 + step) for step, token in enumerate(new_ids) if token == seg
    ]
    return {
        "mid.llm_last_hidden_tail": states,
        "mid.seg_index": torch.tensor(seg_index, dtype=torch.long).view(-1, 2),
        "out.first_step_logits": logits[0],
        "out.last_step_logits": logits[-1],
        "out.step_top2": logits.topk(2, dim=1).values,
    }
