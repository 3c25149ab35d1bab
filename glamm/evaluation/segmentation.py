"""Evaluate a model on referring segmentation (refseg) and semantic segmentation (semseg): one mask for each target.

A target is an expression or a class. The answer is given and not generated; the mask is predicted from its [SEG] token.

Source: `eval/referring_seg/infer_and_evaluate.py`, which does the same for referring segmentation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    score_classes,
    score_compat,
    score_fixed,
)
from glamm.inference.device import AUTO, choose_device, torch_dtype
from glamm.models.glamm import GLaMM
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.batch import to_device
from glamm.structures.report import ReferringReport, SemanticReport
from glamm.structures.sample import Sample, Task
from glamm.text.tokenizer import Tokenizer

_NOUNS = {
    Task.REFERRING_SEGMENTATION: "referring expressions",
    Task.SEMANTIC_SEGMENTATION: "classes of semantic segmentation",
}


@dataclass(frozen=True, slots=True)
class _Answered:
    """The masks that a model predicts for a sample, compared with the targets.

    Args:
        sample: The sample.
        together: Up to three targets, drawn at random, in one conversation, as far as they fit into the model.
        separate: Each target in its own conversation, as far as it fits.
        names: The text of each target of `separate`.
    """

    sample: Sample
    together: ReferringImage
    separate: ReferringImage
    names: tuple[str, ...]

    @property
    def num_left_out(self) -> int:
        """Targets whose text is too long for the model."""
        return len(self.sample.targets) - len(self.names)


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
    answered = _answer(
        model_folder,
        shards / split,
        Task.REFERRING_SEGMENTATION,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    separate = [item.separate for item in answered]
    return ReferringReport(
        compat=score_compat(item.together for item in answered),
        fixed=score_fixed(separate),
        num_images=len(separate),
        num_expressions=sum(image.num_targets for image in separate),
        num_left_out=sum(item.num_left_out for item in answered),
    )


def evaluate_semantic_segmentation(
    model_folder: Path,
    shards: Path,
    split: str,
    *,
    device: str = AUTO,
    dtype: DTypeName | None = None,
    progress: Progress = NO_PROGRESS,
) -> SemanticReport:
    """Evaluate a model on all classes of all images of a split; arguments and errors as of referring segmentation."""
    answered = _answer(
        model_folder,
        shards / split,
        Task.SEMANTIC_SEGMENTATION,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    separate = [item.separate for item in answered]
    classes = score_classes(
        (name, pair)
        for item in answered
        for name, pair in zip(item.names, item.separate.pairs, strict=True)
    )
    return SemanticReport(
        scores=score_fixed(separate),
        miou=sum(classes.values()) / len(classes) if classes else 0.0,
        classes=classes,
        num_images=len(separate),
        num_masks=sum(image.num_targets for image in separate),
        num_left_out=sum(item.num_left_out for item in answered),
    )


def _answer(
    model_folder: Path,
    folder: Path,
    task: Task,
    *,
    device: str,
    dtype: DTypeName | None,
    progress: Progress,
) -> list[_Answered]:
    """Predict the masks of all samples of a task in the folder of a split."""
    reader = ShardReader(folder)
    model, config = load_model(model_folder, device=choose_device(device), dtype=torch_dtype(dtype))
    preprocessor = SamplePreprocessor(
        model_config=config,
        tokenizer=Tokenizer.from_folder(model_folder),
        seed=0,
        flip_probability=0.0,
    )
    answered: list[_Answered] = []
    for sample in _samples(reader, task, progress):
        separate = [replace(sample, targets=(target,)) for target in sample.targets]
        together, _ = _compare(model, preprocessor, [sample])
        image, indices = _compare(model, preprocessor, separate)
        names = tuple(sample.targets[index].text for index in indices)
        answered.append(_Answered(sample, together, image, names))
    if not answered:
        raise DataError(f"has no {_NOUNS[task]}", file=folder)
    return answered


def _samples(reader: ShardReader, task: Task, progress: Progress) -> Iterator[Sample]:
    progress.describe("images")
    progress.begin(len(reader))
    for samples in reader:
        for sample in samples:
            if sample.task is task and sample.targets:
                yield sample
        progress.advance()


@torch.inference_mode()
def _compare(
    model: GLaMM, preprocessor: SamplePreprocessor, samples: Sequence[Sample]
) -> tuple[ReferringImage, list[int]]:
    """Predict the masks of conversations about one image, and compare them with their targets.

    Returns:
        The comparison, and the indices of the samples that fit into the model.
    """
    example = preprocessor.preprocess(samples, epoch=0)
    if example is None:
        return ReferringImage((), 0), []
    device = next(model.parameters()).device
    batch = to_device(collate([example], pad_id=model.config.special_tokens.pad), device)
    mask_logits = model(batch).mask_logits[0]
    masks = [(logits > 0).cpu().numpy() for logits in mask_logits]
    targets = [target.cpu().numpy().astype("uint8") for target in batch.masks[0]]
    indices = [conversation.index for conversation in example.conversations]
    return compare_image(masks, targets), indices
