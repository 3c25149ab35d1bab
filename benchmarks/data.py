"""Compares our loader of training data with one that works like the release's, alternating in one process.

For every conversation the release opens and decodes the image again, decodes the masks of all annotated objects, and
scales a float copy of the image, normalized and padded, to the input sizes of both encoders. The release's algorithm is
written here with our own modules, so that only the algorithm differs: tokens, masks and the encoders' pixels must be
equal. Our loader gives bytes to the device, where the encoders normalize them; in the `_floats` benchmarks the
normalization runs on the CPU and is measured as well.

| benchmark | data |
|---|---|
| `reader` | as GranD: images of 1500 x 2250, 74 objects and two grounded captions |
| `reader_photo` | photographs of 480 x 640, 12 objects and two grounded captions |
| `resume` | time to resume at a step in the middle of ten million samples |

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
from data_written import (
    CONVERSATIONS_PER_IMAGE,
    OBJECTS_PER_CONVERSATION,
    DatasetShape,
    write_dataset,
    write_large_index,
)
from jaxtyping import Bool, Float
from torch import Tensor

from glamm.config.data import LoaderConfig, MixtureConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.loading.datamodule import TrainBatches
from glamm.data.loading.sampler import Mixture
from glamm.data.parsing.image_refs import read_encoded
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
    "reader": DatasetShape((1500, 2250), objects=74, images=8, batch_size=4),
    "reader_photo": DatasetShape((480, 640), objects=12, images=32, batch_size=8),
}


@dataclass(frozen=True, slots=True)
class ReleaseExample:
    """A conversation as the release's loader gives it to the model."""

    clip: Float[Tensor, "3 _ _"]
    sam: Float[Tensor, "3 _ _"]
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    masks: Bool[np.ndarray, "masks height width"]


def main() -> None:
    """Run the benchmarks and print the ratios with their spread."""
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
        for shape_name, shape in SHAPES.items():
            folder = Path(name) / shape_name
            samples = write_dataset(folder, shape)
            batches = open_batches(folder / "train", config, shape)
            first = batches[0]
            check_equal([release_example(samples[id_], config) for id_ in first.sample_ids], first)
            for suffix, finish in (("", _as_bytes), ("_floats", _as_floats)):
                benchmark = shape_name + suffix
                results[benchmark] = _ratios(
                    samples, batches, config, shape, repeats=options.repeats, finish=finish
                )
                print(f"{benchmark:>24}  {results[benchmark]}", flush=True)
        seconds = [resume_seconds(Path(name) / "many") for _ in range(options.repeats)]
        print(
            f"{'resume':>24}  median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def _ratios(
    samples: dict[str, Sample],
    batches: TrainBatches,
    config: ModelConfig,
    shape: DatasetShape,
    *,
    repeats: int,
    finish: Callable[[Batch], object],
) -> dict[str, float]:
    """The release's time divided by ours for one pass over the data: median, minimum and maximum of the repeats."""
    indices = range(shape.images // shape.batch_size)
    ids_of_batches = [batches[index].sample_ids for index in indices]

    def release() -> None:
        for ids in ids_of_batches:
            examples = [release_example(samples[id_], config) for id_ in ids]
            torch.stack([example.clip for example in examples])
            torch.stack([example.sam for example in examples])

    def ours() -> None:
        for index in indices:
            finish(batches[index])

    ratios = [_seconds(release) / _seconds(ours) for _ in range(repeats)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "low": round(min(ratios), 3),
        "high": round(max(ratios), 3),
    }


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def open_batches(folder: Path, config: ModelConfig, shape: DatasetShape) -> TrainBatches:
    """Our loader, as training uses it."""
    reader = ShardReader(folder)
    loader = LoaderConfig(
        batch_size=shape.batch_size, conversations_per_image=CONVERSATIONS_PER_IMAGE
    )
    return TrainBatches(
        reader=reader,
        mixture=Mixture(
            reader.streams,
            MixtureConfig(dataset_weights={}),
            seed=0,
            samples_per_step=shape.batch_size,
        ),
        preprocessor=SamplePreprocessor(
            model_config=config, tokenizer=TOKENIZER, seed=0, flip_probability=0.0
        ),
        pad_id=0,
        config=loader,
        accumulation=1,
        rank=0,
        world_size=1,
    )


def release_example(sample: Sample, config: ModelConfig) -> ReleaseExample:
    """One conversation, with nothing shared between conversations."""
    pixels = decode(read_encoded(sample.image), size=sample.image.size, frame=sample.image.frame)
    # all texts are written in the sample, so that the wording does not depend on random choices
    rounds = render_rounds(sample, _NoDraws())
    encoded = encode_conversation(
        rounds,
        tokenizer=TOKENIZER,
        style=PROMPT_STYLES[config.prompt_style],
        max_tokens=config.language_model.max_positions - config.global_encoder.num_tokens + 1,
    )
    all_masks = {obj.id: masks.decode(obj.mask) for obj in sample.objects if obj.mask}
    target_ids = [ids for turn in encoded.rounds for ids in turn.seg_targets]
    objects = objects_by_id(sample.objects)
    return ReleaseExample(
        clip=_clip(pixels, config),
        sam=_sam(pixels, config),
        input_ids=tuple(encoded.input_ids),
        labels=tuple(encoded.labels),
        masks=np.stack(
            [np.any([all_masks[objects[i].id] for i in ids], axis=0) for ids in target_ids]
        ),
    )


class _NoDraws(Random):
    """A random generator that must not be used."""

    def getrandbits(self, _: int) -> int:
        raise SystemExit("the benchmark's wording must not depend on chance")

    random = getrandbits  # pyright: ignore[reportAssignmentType] - never returns


def _clip(pixels: np.ndarray, config: ModelConfig) -> Tensor:
    squared = global_pixels(
        pixels,
        side=config.global_encoder.image_size,
        is_cropped=config.compat.crops_global_image,
    )
    return _normalized(torch.from_numpy(squared).float() / 255, CLIP_MEAN, CLIP_STD)


def _sam(pixels: np.ndarray, config: ModelConfig) -> Tensor:
    side = config.grounding_encoder.image_size
    square, (height, width) = grounding_pixels(pixels, side=side)
    image = torch.from_numpy(square[:, :height, :width]).float()
    normalized = _normalized(image, SAM_MEAN, SAM_STD)
    return torch.nn.functional.pad(normalized, (0, side - width, 0, side - height))


def _normalized(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def _as_bytes(batch: Batch) -> Batch:
    """The batch as it is."""
    return batch


def _as_floats(batch: Batch) -> tuple[Tensor, Tensor]:
    """The normalized inputs of both encoders, computed once for each image."""
    grounding = batch.grounding_pixels
    if grounding is None:
        raise SystemExit("the batch has no images for masks")
    clip = _normalized(batch.global_pixels.float() / 255, CLIP_MEAN, CLIP_STD)
    sam = torch.zeros(grounding.shape)
    for square, pixels, (height, width) in zip(sam, grounding, batch.resized_sizes, strict=True):
        image = pixels[:, :height, :width].float()
        square[:, :height, :width] = _normalized(image, SAM_MEAN, SAM_STD)
    return clip, sam


def check_equal(examples: list[ReleaseExample], batch: Batch) -> None:
    """End the program if the two loaders give different inputs to the model."""
    clip, sam = _as_floats(batch)
    all_masks = torch.cat(batch.masks).numpy()
    for index, expected in enumerate(examples):
        image = int(batch.image_index[index])
        length = int(batch.attention_mask[index].sum())
        first = index * OBJECTS_PER_CONVERSATION
        is_equal = {
            "tokens": tuple(batch.input_ids[index, :length].tolist()) == expected.input_ids,
            "labels": tuple(batch.labels[index, :length].tolist()) == expected.labels,
            "CLIP pixels": torch.equal(clip[image], expected.clip),
            "SAM pixels": torch.equal(sam[image], expected.sam),
            "masks": np.array_equal(
                all_masks[first : first + OBJECTS_PER_CONVERSATION], expected.masks
            ),
        }
        if not all(is_equal.values()):
            raise SystemExit(f"the loaders differ; equal are: {is_equal}")


def resume_seconds(
    folder: Path, *, num_samples: int = 10_000_000, samples_per_image: int = 5
) -> float:
    """Time to open the index of many samples and to plan a step in the middle of the run."""
    if not folder.exists():
        write_large_index(folder, num_samples, samples_per_image)
    start = time.perf_counter()
    reader = ShardReader(folder)
    mixture = Mixture(
        reader.streams,
        MixtureConfig(dataset_weights={}),
        seed=0,
        samples_per_step=160,
        length_bucket_steps=LoaderConfig().length_bucket_steps,
    )
    plan = mixture.at(31_415)
    entries = [mixture.streams[draw.stream].entries[draw.index] for draw in plan.draws]
    seconds = time.perf_counter() - start
    if len(entries) != 160:
        raise SystemExit(f"the plan has {len(entries)} samples, not 160")
    return seconds


if __name__ == "__main__":
    main()
