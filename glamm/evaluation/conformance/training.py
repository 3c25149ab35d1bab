"""Compute the tensors of a case that runs whole conversations."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from glamm.checkpoints.name_maps.official import to_official
from glamm.evaluation.conformance.inputs import build_batch, encode_texts
from glamm.evaluation.conformance.layout import Case, ConformanceSet
from glamm.evaluation.conformance.recording import Recording, record_outputs
from glamm.models.glamm import GLaMM, GLaMMOutput
from glamm.models.glamm.losses import predicting_positions, token_losses
from glamm.structures.batch import Batch

_FROZEN = ("global_encoder.", "grounding_encoder.", "prompt_encoder.")
_TRAINED_PROMPT = "prompt_encoder.no_mask_embed.weight"


@dataclass(frozen=True, slots=True)
class ComputedCase:
    """The values of a case that this installation computed.

    Args:
        tensors: With the names of the reference.
        numbers: Numbers by kind (`losses`, `grad_norms`) and name, as in the JSON file.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)


def compute_training(model: GLaMM, conformance: ConformanceSet, case: Case) -> ComputedCase:
    """Run the forward and backward pass of a training step, without the optimizer.

    Args:
        model: Has the set's weights; its gradients are cleared before and after.
        conformance: Images and tokenizer.
        case: Inputs, and the names of the tensors to compute.
    """
    set_release_trainable(model)
    batch = build_batch(conformance, case)
    with record_outputs(model) as recording:
        output = model(batch)
        tensors = _intermediate_tensors(model, batch, recording, case)
    losses = weighted_losses(output, model)
    tensors |= {f"out.{name}": value for name, value in losses.items()}
    tensors |= {f"out.pred_masks.{image}": masks for image, masks in enumerate(output.mask_logits)}
    tensors |= encode_texts(conformance, case.description.conversations)
    gradients: dict[str, Tensor] = {}
    if case.description.grad_norms or any(name.startswith("grad.") for name in case.reference):
        gradients = _gradients(model, output)
    tensors |= {f"grad.{name}": value for name, value in gradients.items()}
    numbers = {
        "losses": {name: value.item() for name, value in losses.items()},
        "grad_norms": {name: value.norm().item() for name, value in gradients.items()},
    }
    return ComputedCase(crop_to_reference(tensors, case), numbers)


def set_release_trainable(model: GLaMM) -> None:
    """Freeze the encoders; all other parameters get gradients, as in the conformance sets."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(_FROZEN) or name == _TRAINED_PROMPT)


def _gradients(model: GLaMM, output: GLaMMOutput) -> dict[str, Tensor]:
    """Gradients of the total loss by official name, without the parameters that do not affect it."""
    model.zero_grad()
    output.loss.backward()
    if output.mask_logits:
        for parameter in model.mask_decoder.output_hypernetworks_mlps.parameters():
            # the release computes four masks and uses one; its gradients of the other three, which we do not run, are zero
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
    gradients = {
        to_official(name): parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    model.zero_grad()
    return gradients


def weighted_losses(output: GLaMMOutput, model: GLaMM) -> dict[str, Tensor]:
    """The total loss and its weighted terms, by the release's names."""
    weights = model.config.losses
    bce, dice = weights.bce_weight * output.bce_loss, weights.dice_weight * output.dice_loss
    return {
        "loss": output.loss,
        "ce_loss": weights.ce_weight * output.ce_loss,
        "mask_bce_loss": bce,
        "mask_dice_loss": dice,
        "mask_loss": bce + dice,
    }


@torch.no_grad()
def _intermediate_tensors(
    model: GLaMM, batch: Batch, recording: Recording, case: Case
) -> dict[str, Tensor]:
    return (
        _language_tensors(model, batch, case)
        | _region_tensors(model, batch, recording)
        | _grounding_tensors(model, batch, recording)
        | {
            f"mid.clip_hidden.{index}": state
            for index, state in enumerate(model.global_encoder.hidden_states(batch.global_pixels))
        }
        | {"mid.projected_clip_tokens": recording.outputs("image_projector")[0][batch.image_index]}
    )


def _language_tensors(model: GLaMM, batch: Batch, case: Case) -> dict[str, Tensor]:
    prompt = model.build_inputs(batch, model.encode_image(batch.global_pixels))
    # each conversation separately and with its padding; the recorded run computes shared prefixes only once
    states = model.language_model.model(
        inputs_embeds=prompt.embeddings,
        attention_mask=prompt.attention_mask.long(),
        use_cache=False,
    ).last_hidden_state
    predicting = predicting_positions(prompt.labels)
    conversation, position = predicting.unbind(1)
    head = model.language_model.lm_head
    seg_index = (prompt.token_ids[:, 1:] == model.config.special_tokens.seg).nonzero()
    tensors = {
        "mid.inputs_embeds": prompt.embeddings,
        "mid.llm_last_hidden": states,
        "mid.sequence_shape": torch.tensor(states.shape),
        "mid.seg_index": seg_index,
        "out.token_nll": token_losses(
            head(states[conversation, position]), prompt.labels[conversation, position + 1]
        ),
        "out.token_nll_index": predicting,
    }
    sample = case.reference.get("out.logits_sample_index")
    if sample is not None:
        tensors["out.logits_sample"] = head(states[sample[:, 0], sample[:, 1]])
        tensors["out.logits_sample_index"] = sample
    return tensors


def _region_tensors(model: GLaMM, batch: Batch, recording: Recording) -> dict[str, Tensor]:
    if not recording.outputs("region_encoder"):
        return {}
    counts = [len(boxes) for boxes in batch.boxes_xyxy_unit]
    features = recording.outputs("region_encoder")[0].split(counts)
    levels = recording.outputs("fusion")[0]
    first_box, on_first = torch.cat(batch.boxes_xyxy_unit)[:1], batch.image_index.new_zeros(1)
    return (
        {f"mid.region_features.{index}": value for index, value in enumerate(features)}
        | {f"mid.region_fused_level.{depth}": level for depth, level in enumerate(levels)}
        | {
            f"mid.region_roi_level{depth}": model.region_encoder.pool_boxes(
                level, first_box, on_first
            )
            for depth, level in enumerate(levels)
        }
        | {"mid.region_pos_embed": recording.outputs("position_embedding")[0]}
    )


def _grounding_tensors(model: GLaMM, batch: Batch, recording: Recording) -> dict[str, Tensor]:
    if batch.grounding_pixels is None:
        return {}
    prompts = recording.outputs("text_to_mask_projector")
    encoded = model.encode_grounding(batch.grounding_pixels, batch.resized_sizes)
    tensors = {
        "mid.sam_image_embeddings": encoded,
        "mid.sam_patch_embed": recording.outputs("patch_embed")[-1],
    }
    for index in range(len(model.grounding_encoder.vit.blocks)):
        tensors[f"mid.sam_block{index}"] = recording.outputs(f"block{index}")[-1]
    none = encoded.new_zeros(0, encoded.shape[1])
    tensors["mid.seg_embeddings"] = torch.cat([none, *prompts])
    low_side = 4 * model.config.grounding_encoder.grid_size
    nothing = encoded.new_zeros(0, low_side, low_side), encoded.new_zeros(0)
    low, scores = next(iter(recording.outputs("mask_decoder")), nothing)
    counts = _count_segs(model, batch)
    for image, (masks, values) in enumerate(
        zip(low.split(counts), scores.split(counts), strict=True)
    ):
        tensors[f"out.low_res_masks.{image}"] = masks
        tensors[f"out.iou_pred.{image}"] = values
    return tensors


def _count_segs(model: GLaMM, batch: Batch) -> list[int]:
    """Number of [SEG] tokens of each image."""
    per_conversation = (batch.input_ids == model.config.special_tokens.seg).sum(1)
    counts = per_conversation.new_zeros(len(batch.global_pixels))
    counts = counts.index_add(0, batch.image_index, per_conversation)
    return counts.tolist()


def crop_to_reference(tensors: Mapping[str, Tensor], case: Case) -> dict[str, Tensor]:
    """Keep the tensors of the reference, cropped as it is; inputs that cannot be computed are copied from it."""
    inputs = {name: value for name, value in case.reference.items() if name.startswith("in.")}
    computed = {
        name: _crop_like(name, tensors[name].detach(), expected, case)
        for name, expected in case.reference.items()
        if name in tensors
    }
    return inputs | computed


def _crop_like(name: str, value: Tensor, expected: Tensor, case: Case) -> Tensor:
    """Crop a tensor to the entries that a set stores.

    Of the language model's states a set stores the last conversations and positions, of fused levels every n-th pixel,
    of all other intermediate tensors the first entries.
    """
    if name.startswith("mid.region_fused_level."):
        stride = case.description.region_fused_level_stride[int(name.rpartition(".")[2])]
        value = value[..., ::stride, ::stride]
    if value.dim() != expected.dim() or not name.startswith("mid."):
        return value
    is_language = name.startswith(("mid.inputs_embeds", "mid.llm_last_hidden"))
    for axis, size in enumerate(expected.shape):
        start = max(value.shape[axis] - size, 0) if is_language else 0
        value = value.narrow(axis, start, min(size, value.shape[axis]))
    return value
