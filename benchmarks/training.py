"""Compares the time of a training step with that of the release's algorithm, with the same weights and batch.

The release runs the global encoder, the projector and the region encoder once per conversation, keeps the states of all
layers, applies the head and the projection to masks at all positions, and runs SAM once per image. Here this is
written with our own modules, so that only the algorithm differs. The trained parts are the release's: adapters,
embeddings, head, region encoder, projection to masks and mask decoder. Losses and all gradients must be equal.

`mask_side_256` is another comparison: our own step with masks as large as SA-1B's images, and with
`loader.mask_loss_max_side=256`. The gradients differ a little; the cosine between them is printed.

python benchmarks/training.py [--size small] [--threads 1] [--repeats 3] [--works training_step] [--json FILE]
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glamm.config.model import ModelConfig
from glamm.config.params import load_params
from glamm.config.training import TrainConfig
from glamm.geometry.masks import resize
from glamm.geometry.preprocess import longest_side_size
from glamm.models.glamm import GLaMM
from glamm.models.glamm.losses import mask_losses, token_losses
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID
from glamm.training.joint import GLaMMModule
from glamm.typing import Size

VOCAB_SIZE = 32_007
"""Vocabulary size of the release."""

ORIGINAL_SIZE = (480, 640)
LARGE_SIZE, MASK_SIDE = (1536, 2048), 256
NUM_IMAGES = 2
CONVERSATIONS_PER_IMAGE = 2
TOKENS_BEFORE_IMAGE, TOKENS_OF_QUESTION, TOKENS_OF_ANSWER = 42, 36, 60
TOLERANCE = 1e-3
"""Largest difference, relative to the norm of a parameter's gradient; float32 sums in another order differ by less."""
NOISE = 1e-6
"""Likewise, relative to the norm of all gradients together; for gradients that are zero but for rounding."""

Step = Callable[[], Tensor]
Gradients = Mapping[str, Tensor]


def main() -> None:
    """Measure the chosen comparisons and print the ratios with their range."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=["tiny", "small"], default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--works", default="all", help="names separated by commas, or all")
    parser.add_argument("--recompute", action="store_true", help="both steps recompute activations")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = trained_as_in_the_release(activation_checkpointing=options.recompute)
    size = ModelConfig.of_size(options.size, vocab_size=VOCAB_SIZE)
    model = GLaMMModule(GLaMM.from_config(size), config=config).train().model
    works = {
        "training_step": build_batch(size, masks_per_conversation=3, boxes_per_conversation=0),
        "training_step_regions": build_batch(
            size, masks_per_conversation=0, boxes_per_conversation=3
        ),
        "mask_side_256": build_batch(
            size, masks_per_conversation=3, boxes_per_conversation=0, pixels=LARGE_SIZE
        ),
    }
    chosen = list(works) if options.works == "all" else options.works.split(",")
    results: dict[str, dict[str, float]] = {}
    for name in chosen:
        batch = works[name]
        compare = _large_and_small_masks if name == "mask_side_256" else _release_and_ours
        compare(model, batch)  # warm-up
        ratios = [compare(model, batch) for _ in range(options.repeats)]
        results[name] = {
            "ratio": round(statistics.median(ratios), 3),
            "low": round(min(ratios), 3),
            "high": round(max(ratios), 3),
        }
        print(f"{name:>24}  {results[name]}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory of the process: {peak} MiB")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def trained_as_in_the_release(*, activation_checkpointing: bool = False) -> TrainConfig:
    """The trained parts of the release, without dropout, which would make the two steps differ."""
    recipe = load_params(Path(__file__).parents[1] / "recipes/gcg.yaml").train
    lora = recipe.lora.model_copy(update={"dropout": 0.0}) if recipe.lora else None
    return recipe.model_copy(
        update={"lora": lora, "activation_checkpointing": activation_checkpointing}
    )


def _release_and_ours(model: GLaMM, batch: Batch) -> float:
    """Time of the release's step divided by ours; both must give the same gradients."""
    slow_seconds, expected = _timed(model, lambda: release_loss(model, batch))
    fast_seconds, actual = _timed(model, lambda: model(batch).loss)
    check_equal(expected, actual)
    return slow_seconds / fast_seconds


def _large_and_small_masks(model: GLaMM, batch: Batch) -> float:
    """Time of our step with masks of the images' size divided by that with small masks."""
    size = longest_side_size(batch.original_sizes[0], side=MASK_SIDE)
    masks = tuple(
        torch.from_numpy(np.stack([resize(mask, size) for mask in stack.numpy()]))
        for stack in batch.masks
    )
    small = replace(batch, masks=masks, original_sizes=(size,) * len(masks))
    large_seconds, large = _timed(model, lambda: model(batch).loss)
    small_seconds, actual = _timed(model, lambda: model(small).loss)
    vectors = [
        torch.cat([value.flatten() for value in gradients.values()])
        for gradients in (large, actual)
    ]
    cosine = functional.cosine_similarity(*vectors, dim=0)
    print(f"{large_seconds:.2f} s and {small_seconds:.2f} s, cosine of the gradients {cosine:.4f}")
    return large_seconds / small_seconds


def _timed(model: GLaMM, step: Step) -> tuple[float, Gradients]:
    """Seconds of the forward and backward pass, and the gradients, with the loss as `loss`."""
    model.zero_grad(set_to_none=True)
    start = time.perf_counter()
    loss = step()
    loss.backward()
    seconds = time.perf_counter() - start
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return seconds, {"loss": loss.detach(), **gradients}


def check_equal(expected: Gradients, actual: Gradients) -> None:
    """End the program if a gradient is missing or differs."""
    if expected.keys() != actual.keys():
        raise SystemExit("the two steps do not train the same parameters")
    # some gradients are zero but for rounding, such as those of the keys' biases
    floor = NOISE * torch.stack([value.norm() for value in expected.values()]).norm()
    for name, value in expected.items():
        distance = (value - actual[name]).norm()
        if distance > TOLERANCE * value.norm() + floor:
            raise SystemExit(
                f"the two steps do not give the same {name}: the difference is {distance:.1e}"
            )


def release_loss(model: GLaMM, batch: Batch) -> Tensor:
    """The loss as the release computes it."""
    expanded = replace(
        batch,
        global_pixels=batch.global_pixels[batch.image_index],
        image_index=torch.arange(len(batch.image_index)),
    )
    prompt = model.build_inputs(expanded, model.encode_image(expanded.global_pixels))
    output = model.language_model.model(
        inputs_embeds=prompt.embeddings,
        attention_mask=prompt.attention_mask.long(),
        use_cache=False,
        output_hidden_states=True,
    )
    states = output.hidden_states[-1]
    logits = model.language_model.lm_head(states)
    targets = prompt.labels[:, 1:]
    is_supervised = targets != IGNORE_LABEL
    ce_loss = token_losses(logits[:, :-1][is_supervised], targets[is_supervised]).mean()
    weights = model.config.losses
    if batch.grounding_pixels is None:
        return weights.ce_weight * ce_loss
    prompts = model.text_to_mask_projector(states)
    is_seg = prompt.token_ids[:, 1:] == model.config.special_tokens.seg
    mask_logits = []
    for image, pixels in enumerate(batch.grounding_pixels):
        sizes = batch.resized_sizes[image]
        embedding = model.encode_grounding(pixels[None], (sizes,))
        is_about = batch.image_index == image
        chosen = prompts[is_about, :-1][is_seg[is_about]]
        low, _ = model.mask_decoder(
            chosen[:, None],
            embedding,
            torch.zeros(len(chosen), dtype=torch.long),
            prompt_encoder=model.prompt_encoder,
        )
        mask_logits.append(
            model.restore_masks(low, resized_size=sizes, original_size=batch.original_sizes[image])
        )
    bce, dice = mask_losses(mask_logits, batch.masks)
    return weights.ce_weight * ce_loss + weights.bce_weight * bce + weights.dice_weight * dice


def build_batch(
    config: ModelConfig,
    *,
    masks_per_conversation: int,
    boxes_per_conversation: int,
    pixels: Size = ORIGINAL_SIZE,
) -> Batch:
    """Conversations about random images, as long as in the release: system text, image, question, answer."""
    special, random = config.special_tokens, torch.Generator().manual_seed(0)
    num_conversations = NUM_IMAGES * CONVERSATIONS_PER_IMAGE
    side, grounding = config.global_encoder.image_size, config.grounding_encoder.image_size
    height = round(grounding * ORIGINAL_SIZE[0] / ORIGINAL_SIZE[1])
    # the tokens before the question are the same in every conversation
    before = torch.randint(8, 20_000, (TOKENS_BEFORE_IMAGE,), generator=random)
    length = TOKENS_OF_QUESTION + TOKENS_OF_ANSWER
    texts = torch.randint(8, 20_000, (num_conversations, length), generator=random)
    for index in range(masks_per_conversation):
        texts[:, TOKENS_OF_QUESTION + 4 + 9 * index] = special.seg
    for index in range(boxes_per_conversation):
        texts[:, 4 + 5 * index] = special.bbox
    start = torch.cat([before, torch.tensor([IMAGE_PLACEHOLDER_ID])]).expand(num_conversations, -1)
    ids = torch.cat([start, texts], dim=1)
    labels = torch.full_like(ids, IGNORE_LABEL)
    labels[:, -TOKENS_OF_ANSWER:] = ids[:, -TOKENS_OF_ANSWER:]
    shape = (NUM_IMAGES, 3)
    cells = torch.rand(NUM_IMAGES, CONVERSATIONS_PER_IMAGE * masks_per_conversation, 6, 8) > 0.6
    height_of_cell, width_of_cell = pixels[0] // 6, pixels[1] // 8
    masks = cells.repeat_interleave(height_of_cell, 2).repeat_interleave(width_of_cell, 3)
    corners = torch.rand(num_conversations, boxes_per_conversation, 2, generator=random) / 2
    boxes = torch.cat([corners, corners + 0.3], dim=2)
    return Batch(
        global_pixels=torch.randint(
            0, 256, (*shape, side, side), dtype=torch.uint8, generator=random
        ),
        grounding_pixels=torch.randint(
            0, 256, (*shape, grounding, grounding), dtype=torch.uint8, generator=random
        )
        if masks_per_conversation
        else None,
        input_ids=ids,
        labels=labels,
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=torch.arange(NUM_IMAGES).repeat_interleave(CONVERSATIONS_PER_IMAGE),
        boxes_xyxy_unit=tuple(boxes),
        masks=tuple(masks) if masks_per_conversation else (),
        resized_sizes=((height, grounding),) * NUM_IMAGES,
        original_sizes=(pixels,) * NUM_IMAGES,
        sample_ids=tuple(f"random/{index}" for index in range(num_conversations)),
    )


if __name__ == "__main__":
    main()
