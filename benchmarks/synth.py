"""Scenes per second of `glamm synth` on one core, with JPEG, RLE masks, captions and files; prints one JSON line.

python benchmarks/synth.py [--scenes 400] [--side 256] [--cutouts FOLDER --backgrounds FOLDER]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2

from glamm.config.synthetic import SynthConfig
from glamm.synthetic.dataset import count_scenes, write_dataset


def main() -> None:
    """Write a data set twice, first to warm up, and print the speed of the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--cutouts", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    config = SynthConfig(
        image_size=options.side,
        num_grand=options.scenes // 2,
        num_train=options.scenes // 2,
        num_val=0,
        num_test=0,
        cutouts=options.cutouts,
        backgrounds=options.backgrounds,
    )
    seconds = [_seconds(config), _seconds(config)][1]
    processor, wall = seconds
    print(
        json.dumps(
            {
                "scenes": count_scenes(config),
                "side": options.side,
                "scenes_per_second": round(count_scenes(config) / wall, 1),
                "scenes_per_cpu_second": round(count_scenes(config) / processor, 1),
            }
        )
    )


def _seconds(config: SynthConfig) -> tuple[float, float]:
    """Processor and wall time."""
    with tempfile.TemporaryDirectory() as folder:
        processor, wall = time.process_time(), time.perf_counter()
        write_dataset(Path(folder), config, workers=1)
        return time.process_time() - processor, time.perf_counter() - wall


if __name__ == "__main__":
    main()
