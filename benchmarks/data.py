"""Our reader of training data against a release-style one, in turn, in one process, on the same images.

The release opens and decodes an image again for every conversation about it, decodes the masks of everything that is
annotated on it, and brings it as floats, normalised and padded, to both encoders' sizes, each conversation with its
own copy. Written on our own modules, so that nothing but the algorithm differs: tokens, masks and the pixels that
the encoders see must be equal. Ours hands bytes to the device, where the encoders normalise them; the works with
`_floats` are the same with that done on the processor and counted as well.

`reader` has GranD's shape: images of 1500 x 2250, 74 regions and two grounded captions an image. `reader_photo` has
photographs of 480 x 640 with 12 objects and two captions. `resume` is the time to stand at a step in the middle of ten
million samples.

python benchmarks/data.py [--threads 1] [--repeats 5] [--json FILE]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from data_written import CONVERSATIONS, TOLD, Shape, write_data, write_many
from jaxtyping import Bool, Float
from torch import Tensor

from glamm.config.data import LoaderConfig, MixtureConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.loading.datamodule import TrainBatches
from glamm.data.loading.sampler import Mixture
from glamm.data.shards.reader import ShardReader
from glamm.geometry import masks
from glamm.geometry.image_files import decode
from glamm.geometry.preprocess import global_pixels, grounding_pixels
from glamm.structures.batch import Batch
from glamm.structures.sample import Sample, objects_by_id
from glamm.text.conversation import PROMPT_STYLES, encode_conversation
from glamm.text.render import render_rounds
from glamm.text.tokenizer import embedded_tokenizer

TOKENIZER = embedded_tokenizer()

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SAM_MEAN, SAM_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


SHAPES = {
    "reader": Shape((1500, 2250), objects=74, images=8, batch_size=4),
    "reader_photo": Shape((480, 640), objects=12, images=32, batch_size=8),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as the release's loader hands it over."""

    clip: Float[Tensor, "3 _ _"]
    sam: Float[Tensor, "3 _ _"]
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    masks: Bool[np.ndarray, "masks height width"]


def main() -> None:
    """Measure, print the ratios with their spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = ModelConfig.of_size("7b", vocab_size=len(TOKENIZER))
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for work, shape in SHAPES.items():
            folder = Path(name) / work
            known = write_data(folder, shape)
            batches = open_batches(folder / "train", config, shape)
            check_equal([release_row(known[i], config) for i in batches[0].sample_ids], batches[0])
            for suffix, finish in (("", _as_bytes), ("_floats", _as_floats)):
                results[work + suffix] = _ratios(
                    known, batches, config, shape, repeats=options.repeats, finish=finish
                )
                print(f"{work + suffix:>24}  {results[work + suffix]}", flush=True)
        seconds = [resume_seconds(Path(name) / "many") for _ in range(options.repeats)]
        print(
            f"{'resume':>24}  median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def _ratios(
    known: dict[str, Sample],
    batches: TrainBatches,
    config: ModelConfig,
    shape: Shape,
    *,
    repeats: int,
    finish: Callable[[Batch], object],
) -> dict[str, float]:
    """Time of the release's reader over ours for one pass over the data, again and again."""
    numbers = range(shape.images // shape.batch_size)
    ids = [batches[number].sample_ids for number in numbers]

    def release() -> None:
        for wanted in ids:
            rows = [release_row(known[sample_id], config) for sample_id in wanted]
            torch.stack([row.clip for row in rows])
            torch.stack([row.sam for row in rows])

    def ours() -> None:
        for number in numbers:
            finish(batches[number])

    ratios = [_seconds(release) / _seconds(ours) for _ in range(repeats)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "low": round(min(ratios), 3),
        "high": round(max(ratios), 3),
    }


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def open_batches(folder: Path, config: ModelConfig, shape: Shape) -> TrainBatches:
    """Our reader, as training uses it."""
    reader = ShardReader(folder)
    loader = LoaderConfig(batch_size=shape.batch_size, conversations_per_image=CONVERSATIONS)
    return TrainBatches(
        reader=reader,
        mixture=Mixture(reader.streams, MixtureConfig(), seed=0, samples_per_step=shape.batch_size),
        maker=SamplePreprocessor(
            model_config=config, tokenizer=TOKENIZER, seed=0, flip_probability=0.0
        ),
        pad_id=0,
        config=loader,
        accumulation=1,
        rank=0,
        world_size=1,
    )


def release_row(sample: Sample, config: ModelConfig) -> Row:
    """One conversation, everything anew."""
    pixels = decode(Path(sample.image.path or "").read_bytes(), size=sample.image.size)
    # the wording of both is written in the sample, so that it does not depend on any draw
    rounds = render_rounds(sample, _NoDraws())
    encoded = encode_conversation(
        rounds,
        tokenizer=TOKENIZER,
        style=PROMPT_STYLES[config.prompt_style],
        max_tokens=config.language_model.max_positions - config.global_encoder.num_tokens + 1,
    )
    all_masks = {obj.id: masks.decode(obj.mask) for obj in sample.objects if obj.mask}
    wanted = [ids for turn in encoded.rounds for ids in turn.seg_targets]
    known = objects_by_id(sample.objects)
    return Row(
        clip=_clip(pixels, config),
        sam=_sam(pixels, config),
        input_ids=tuple(encoded.input_ids),
        labels=tuple(encoded.labels),
        masks=np.stack([np.any([all_masks[known[i].id] for i in ids], axis=0) for ids in wanted]),
    )


class _NoDraws(Random):
    """Stands for a random generator where nothing is to be drawn."""

    def getrandbits(self, _: int) -> int:
        raise SystemExit("the benchmark's wording must not depend on chance")

    random = getrandbits  # pyright: ignore[reportAssignmentType] - never returns


def _clip(pixels: np.ndarray, config: ModelConfig) -> Tensor:
    squared = global_pixels(
        pixels,
        side=config.global_encoder.image_size,
        is_cropped=config.compat.crops_global_image,
    )
    return _normalised(torch.from_numpy(squared).float() / 255, CLIP_MEAN, CLIP_STD)


def _sam(pixels: np.ndarray, config: ModelConfig) -> Tensor:
    side = config.grounding_encoder.image_size
    square, (height, width) = grounding_pixels(pixels, side=side)
    image = torch.from_numpy(square[:, :height, :width]).float()
    normalised = _normalised(image, SAM_MEAN, SAM_STD)
    return torch.nn.functional.pad(normalised, (0, side - width, 0, side - height))


def _normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def _as_bytes(batch: Batch) -> Batch:
    """Nothing is left to do."""
    return batch


def _as_floats(batch: Batch) -> tuple[Tensor, Tensor]:
    """What the encoders make of a batch's bytes, once an image."""
    grounding = batch.grounding_pixels
    if grounding is None:
        raise SystemExit("the batch has no images for masks")
    clip = _normalised(batch.global_pixels.float() / 255, CLIP_MEAN, CLIP_STD)
    sam = torch.zeros(grounding.shape)
    for square, pixels, (height, width) in zip(sam, grounding, batch.resized_sizes, strict=True):
        image = pixels[:, :height, :width].float()
        square[:, :height, :width] = _normalised(image, SAM_MEAN, SAM_STD)
    return clip, sam


def check_equal(expected: list[Row], found: Batch) -> None:
    """End the program if the two do not hand the same to the model."""
    clip, sam = _as_floats(found)
    meant = torch.cat(found.masks).numpy()
    for number, row in enumerate(expected):
        image = int(found.image_index[number])
        length = int(found.attention_mask[number].sum())
        first = number * TOLD
        same = (
            tuple(found.input_ids[number, :length].tolist()) == row.input_ids,
            tuple(found.labels[number, :length].tolist()) == row.labels,
            torch.equal(clip[image], row.clip),
            torch.equal(sam[image], row.sam),
            np.array_equal(meant[first : first + TOLD], row.masks),
        )
        if not all(same):
            raise SystemExit(
                f"the two do not read the same: tokens, labels, CLIP, SAM, masks {same}"
            )


def resume_seconds(folder: Path, *, num_samples: int = 10_000_000, per_row: int = 5) -> float:
    """Time to open an index of many samples and know what a step in the middle trains."""
    if not folder.exists():
        write_many(folder, num_samples, per_row)
    start = time.perf_counter()
    reader = ShardReader(folder)
    mixture = Mixture(
        reader.streams,
        MixtureConfig(),
        seed=0,
        samples_per_step=160,
        length_bucket_steps=LoaderConfig().length_bucket_steps,
    )
    plan = mixture.at(31_415)
    places = [mixture.streams[draw.stream].places[draw.index] for draw in plan.draws]
    seconds = time.perf_counter() - start
    if len(places) != 160:
        raise SystemExit("the plan is not whole")
    return seconds


if __name__ == "__main__":
    main()
