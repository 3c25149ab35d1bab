"""Evaluate a model on referring segmentation (refseg): one mask for each expression.

The answer is given and not generated; the mask is predicted from its [SEG] token.

Source: `eval/referring_seg/infer_and_evaluate.py`, which does the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from glamm.checkpoints.store import load_model
from glamm.config.dtype import DTypeName
from glamm.data.loading.collate import SamplePreprocessor, collate
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.evaluation.metrics.referring import (
    ReferringImage,
    compare_image,
    score_compat,
    score_fixed,
)
from glamm.inference.device import AUTO, choose_device, torch_dtype
from glamm.models.glamm import GLaMM
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.batch import to_device
from glamm.structures.report import ReferringReport
from glamm.structures.sample import Sample, Task
from glamm.text.tokenizer import Tokenizer


def evaluate_referring_segmentation(
    model_folder: Path,
    shards: Path,
    split: str,
    *,
    device: str = AUTO,
    dtype: DTypeName | None = None,
    progress: Progress = NO_PROGRESS,
) -> ReferringReport:
    """Evaluate a model on all expressions of a split.

    Args:
        model_folder: Holds config.json and the weights.
        shards: Written by `glamm data prepare`.
        split: A split with referring expressions.
        device: Where the model runs; see `choose_device`.
        dtype: Type in which the weights are held and used; None is the type that they have in the model folder.
        progress: Advanced after each image.

    Raises:
        CheckpointError: The model cannot be loaded.
        HostError: This machine does not have the device.
        DataError: The split has no expressions, or its shards are damaged.
    """
    model, config = load_model(model_folder, device=choose_device(device), dtype=torch_dtype(dtype))
    preprocessor = SamplePreprocessor(
        model_config=config,
        tokenizer=Tokenizer.from_folder(model_folder),
        seed=0,
        flip_probability=0.0,
    )
    compat: list[ReferringImage] = []
    fixed: list[ReferringImage] = []
    for sample in _referring_samples(ShardReader(shards / split), progress):
        compat.append(_compare(model, preprocessor, [sample]))
        separate = [replace(sample, targets=(target,)) for target in sample.targets]
        fixed.append(_compare(model, preprocessor, separate))
    if not fixed:
        raise DataError("has no referring expressions", file=shards / split)
    return ReferringReport(
        compat=score_compat(compat),
        fixed=score_fixed(fixed),
        num_images=len(fixed),
        num_expressions=sum(image.num_targets for image in fixed),
    )


def _referring_samples(reader: ShardReader, progress: Progress) -> Iterator[Sample]:
    progress.describe("images")
    progress.begin(len(reader))
    for samples in reader:
        for sample in samples:
            if sample.task is Task.REFERRING_SEGMENTATION and sample.targets:
                yield sample
        progress.advance()


@torch.inference_mode()
def _compare(
    model: GLaMM, preprocessor: SamplePreprocessor, samples: Sequence[Sample]
) -> ReferringImage:
    """Predict the masks of conversations about one image, and compare them with their targets."""
    example = preprocessor.preprocess(samples, epoch=0)
    if example is None:
        raise DataError("its expressions do not fit into the model", record=samples[0].sample_id)
    device = next(model.parameters()).device
    batch = to_device(collate([example], pad_id=model.config.special_tokens.pad), device)
    mask_logits = model(batch).mask_logits[0]
    masks = [(logits > 0).cpu().numpy() for logits in mask_logits]
    targets = [target.cpu().numpy().astype("uint8") for target in batch.masks[0]]
    return compare_image(masks, targets)
