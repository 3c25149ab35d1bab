"""Seconds of each step of `glamm evaluate gcg`, and of comparing masks pixel by pixel instead; one JSON line.

python benchmarks/evaluation.py [--images 500] [--masks 5]
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from glamm.evaluation.java_runtime import find_java
from glamm.evaluation.meteor import Meteor
from glamm.evaluation.metrics.average_precision import coco_stats_compat, coco_stats_fixed
from glamm.evaluation.metrics.captions import score_captions
from glamm.evaluation.metrics.mask_iou import image_miou_compat, overlaps
from glamm.evaluation.ptb_tokenizer import tokenize
from glamm.geometry.masks import area, decode, encode
from glamm.structures.gcg import GroundTruthImage, GroundTruthMask, ImagePair, Prediction
from glamm.structures.sample import Mask

SIZE = (480, 640)
WORDS = "a brown dog sits beside the red kite near tall grass while people walk by under grey sky"


def main() -> None:
    """Measure each step on drawn ellipses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--masks", type=int, default=5)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    pairs = [_pair(random, index, options.masks) for index in range(options.images)]
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    java = find_java()
    with Meteor(java) as meteor:
        _, seconds["overlaps_and_miou"] = _timed(
            lambda: [image_miou_compat(_overlaps(p)) for p in pairs]
        )
        _, seconds["average_precision_compat"] = _timed(lambda: coco_stats_compat(pairs))
        _, seconds["average_precision_fixed"] = _timed(lambda: coco_stats_fixed(pairs))
        captions, seconds["tokenize"] = _timed(
            lambda: tokenize(
                java,
                references=[p.truth.captions for p in pairs],
                candidates=[p.prediction.caption for p in pairs],
            )
        )
        scores, seconds["meteor_after_all_this"] = _timed(lambda: meteor.score(captions))
    _, seconds["other_caption_metrics"] = _timed(lambda: score_captions(captions, scores))
    seconds["total"] = time.perf_counter() - start
    subset = pairs[: max(1, len(pairs) // 20)]
    _, dense = _timed(lambda: [_dense(p) for p in subset])
    seconds["overlaps_of_dense_masks"] = dense * len(pairs) / len(subset)
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    print(json.dumps({"images": options.images, "masks": options.masks, "seconds": rounded}))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _pair(random: np.random.Generator, index: int, count: int) -> ImagePair:
    truths = [_ellipse(random) for _ in range(count)]
    masks = tuple(
        GroundTruthMask(index * count + k + 1, m, float(area(m))) for k, m in enumerate(truths)
    )
    truth = GroundTruthImage(f"sa_{index}", None, SIZE, (_caption(random),), (), masks)
    predicted = tuple(m if random.random() < 0.5 else _ellipse(random) for m in truths)
    return ImagePair(truth, Prediction(_caption(random), (), predicted))


def _ellipse(random: np.random.Generator) -> Mask:
    canvas = np.zeros(SIZE, dtype=np.uint8)
    center = int(random.integers(SIZE[1])), int(random.integers(SIZE[0]))
    axes = int(random.integers(20, 160)), int(random.integers(20, 160))
    cv2.ellipse(canvas, center, axes, float(random.integers(180)), 0, 360, 1, -1)
    return encode(canvas.astype(bool))


def _caption(random: np.random.Generator) -> str:
    return " ".join(random.choice(WORDS.split(), size=14))


def _overlaps(pair: ImagePair) -> np.ndarray:
    return overlaps(pair.prediction.masks, [truth.mask for truth in pair.truth.masks])


def _dense(pair: ImagePair) -> list[list[float]]:
    """Pixel by pixel, as the release compares."""
    predictions = [decode(mask) for mask in pair.prediction.masks]
    truths = [decode(truth.mask) for truth in pair.truth.masks]
    return [
        [float(np.sum(mask & truth) / np.sum(mask | truth)) for truth in truths]
        for mask in predictions
    ]


if __name__ == "__main__":
    main()
