"""Referring segmentation: one mask an expression, with the answer given.

Source: `eval/referring_seg/infer_and_evaluate.py`, which also gives the answer and reads the mask from its [SEG].
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from glamm.checkpoints.store import load_model
from glamm.data.loading.collate import SamplePreprocessor, collate
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.evaluation.metrics.referring import (
    ReferringImage,
    ReferringScores,
    compare_image,
    score_compat,
    score_fixed,
)
from glamm.models.glamm import GLaMM
from glamm.structures.sample import Sample, Task
from glamm.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class ReferringReport:
    """Both modes.

    Args:
        compat: Up to three expressions of an image, drawn at random, in one conversation; the release's sums.
        fixed: Every expression of every image, in a conversation of its own.
        num_images: Images with expressions.
        num_expressions: That `fixed` counts.
    """

    compat: ReferringScores
    fixed: ReferringScores
    num_images: int
    num_expressions: int

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def evaluate_referring(
    model_folder: Path,
    shards: Path,
    split: str,
    *,
    begin: Callable[[int], None] = lambda _: None,
    advance: Callable[[], None] = lambda: None,
) -> ReferringReport:
    """Judge a model on all expressions of a split.

    Args:
        model_folder: Of the model.
        shards: Written by `glamm data prepare`.
        split: With referring expressions.
        begin: Told how many images there are.
        advance: Called after each.

    Raises:
        CheckpointError: The model cannot be loaded.
        DataError: The split has no expressions, or its shards are damaged.
    """
    model, config = load_model(model_folder)
    tokenizer = Tokenizer.from_folder(model_folder)
    maker = SamplePreprocessor(
        model_config=config, tokenizer=tokenizer, seed=0, flip_probability=0.0
    )
    reader = ShardReader(shards / split)
    begin(len(reader))
    compat: list[ReferringImage] = []
    fixed: list[ReferringImage] = []
    for sample in _samples(reader, advance):
        compat.append(_segment(model, maker, [sample]))
        alone = [replace(sample, targets=(target,)) for target in sample.targets]
        fixed.append(_segment(model, maker, alone))
    if not fixed:
        raise DataError("has no referring expressions", file=shards / split)
    return ReferringReport(
        score_compat(compat),
        score_fixed(fixed),
        len(fixed),
        sum(image.num_targets for image in fixed),
    )


def _samples(reader: ShardReader, advance: Callable[[], None]) -> Iterator[Sample]:
    for row in range(len(reader)):
        for sample in reader[row]:
            if sample.task is Task.REFERRING_SEGMENTATION and sample.targets:
                yield sample
        advance()


@torch.inference_mode()
def _segment(model: GLaMM, maker: SamplePreprocessor, samples: Sequence[Sample]) -> ReferringImage:
    """Compare all masks of conversations about one image."""
    image = maker.make(samples, epoch=0)
    if image is None:
        raise DataError("its expressions do not fit into the model", record=samples[0].sample_id)
    batch = collate([image], pad_id=model.config.special_tokens.pad)
    masks = model(batch).mask_logits[0]
    predicted = [(logits > 0).numpy() for logits in masks]
    targets = [target.numpy().astype("uint8") for target in batch.masks[0]]
    return compare_image(predicted, targets)
