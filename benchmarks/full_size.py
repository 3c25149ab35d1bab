"""Time, memory and disk space of what a user does first with a GLaMM of 7B, on random weights in the layout of the release.

python benchmarks/full_size.py FOLDER [--shrink] [--shards 2] [--kind bin] [--steps write,convert,verify,ground,export]

FOLDER needs 50 GB. Without FOLDER, or with --shrink, the model has the same parts and a few megabytes.
A step is ended when the machine has less than 1 GB of memory left, as the system would do a moment later.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from glamm.checkpoints.name_maps.official import OUR_CONFIG, into_official
from glamm.checkpoints.tensor_file import read_tensor
from glamm.checkpoints.weight_files import SAFETENSORS_INDEX, open_weights
from glamm.checkpoints.write_release import release_config
from glamm.config.hf_names import VISION_NAMES, to_hugging_face
from glamm.config.model import ModelConfig
from glamm.models.glamm.without_weights import build_without_weights
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer, tokenizer_file_name

VOCAB_SIZE = 32_007
STEPS = ("write", "convert", "verify", "ground", "export", "compare")
_TOWER = "model.vision_tower.vision_tower."
_SAMPLE_SECONDS = 0.05
_LEAST_MEMORY = 1 << 30


def main() -> None:
    """Print one line per step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--shrink", action="store_true", help="a few megabytes")
    parser.add_argument(
        "--shards", type=int, default=2, help="each is in memory while it is written"
    )
    parser.add_argument("--kind", choices=("bin", "safetensors"), default="bin")
    parser.add_argument("--dtype", default="bfloat16", help="of the converted model")
    parser.add_argument("--tokens", type=int, default=8, help="of each answer")
    parser.add_argument(
        "--tokenizer", type=Path, help="a tokenizer.model; the embedded one by default"
    )
    parser.add_argument("--steps", default=",".join(STEPS))
    options = parser.parse_args()
    if options.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            _run_steps(Path(folder), options, is_small=True)
    else:
        _run_steps(options.folder, options, is_small=options.shrink)


def _run_steps(folder: Path, options: argparse.Namespace, *, is_small: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    release, clip, ours, back = (folder / name for name in ("release", "clip", "ours", "back"))
    photo = folder / "photo.jpg"
    wanted = options.steps.split(",")
    if "write" in wanted:
        _write_release(folder, options, is_small=is_small)
    commands = {
        "convert": ["convert", release, ours, "--clip", clip, "--dtype", options.dtype],
        "verify": ["checkpoint", "verify", ours],
        "ground": [
            *("ground", photo, "Describe the image.", "--model", ours),
            *("--max-new-tokens", options.tokens, "--json"),
        ],
        "export": ["convert", ours, back, "--to", "release"],
    }
    for step, command in commands.items():
        if step in wanted:
            print(json.dumps({"step": step, **_measure(command), "disk_gb": _disk_gb(folder)}))
    if "compare" in wanted:
        print(json.dumps({"step": "compare", **_compare(release, back)}))


def _config(vocab_size: int, *, is_small: bool) -> ModelConfig:
    if not is_small:
        return ModelConfig.seven_b(vocab_size=VOCAB_SIZE)
    config = ModelConfig.seven_b(vocab_size=vocab_size)
    sizes = {
        "global_encoder": {"image_size": 112, "hidden_size": 64, "intermediate_size": 128}
        | {"num_layers": 12, "num_heads": 4},
        "region_encoder": {"width": 64, "hidden_dim": 32, "roi_size": 3},
        "language_model": {"hidden_size": 64, "intermediate_size": 128}
        | {"num_layers": 2, "num_heads": 4},
        "grounding_encoder": {"image_size": 128, "hidden_size": 64, "num_layers": 4}
        | {"num_heads": 4, "global_attention_layers": (1, 3), "window_size": 3, "out_channels": 64},
        "mask_decoder": {"mlp_dim": 128, "iou_head_hidden_dim": 64},
    }
    return config.model_copy(
        update={
            part: getattr(config, part).model_copy(update=changes)
            for part, changes in sizes.items()
        }
    )


def _write_release(folder: Path, options: argparse.Namespace, *, is_small: bool) -> None:
    """Write shards with an index, config.json without our keys, the tokenizer, CLIP, and a picture."""
    tokenizer = (
        Tokenizer.from_file(options.tokenizer) if options.tokenizer else embedded_tokenizer()
    )
    config = _config(len(tokenizer), is_small=is_small)
    shapes = into_official(build_without_weights(config).half().state_dict(), config)
    tower = {name: value for name, value in shapes.items() if name.startswith(_TOWER)}
    rest = {name: value for name, value in shapes.items() if name not in tower}
    release, clip = folder / "release", folder / "clip"
    release.mkdir()
    weight_map: dict[str, str] = {}
    stem = "pytorch_model" if options.kind == "bin" else "model"
    for number, names in enumerate(_split(rest, options.shards), start=1):
        path = release / f"{stem}-{number:05}-of-{options.shards:05}.{options.kind}"
        _save({name: _filled(name, rest[name]) for name in names}, path)
        weight_map |= dict.fromkeys(names, path.name)
    _write_json(release / f"{stem}.{options.kind}.index.json", {"weight_map": weight_map})
    values = release_config(config, "float16")
    del values[OUR_CONFIG], values["rope_theta"]  # the release was written before them
    _write_json(release / "config.json", values)
    (release / tokenizer_file_name(tokenizer.model)).write_bytes(tokenizer.model)
    clip.mkdir()
    stored = {name.removeprefix(_TOWER): _filled(name, value) for name, value in tower.items()}
    _save(stored, clip / "model.safetensors")
    vision = to_hugging_face(config.global_encoder, VISION_NAMES)
    _write_json(clip / "config.json", {"model_type": "clip_vision_model", **vision})
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg")


def _split(tensors: dict[str, Tensor], count: int) -> Iterator[list[str]]:
    """Names for each shard, of about the same size."""
    shards: list[list[str]] = [[] for _ in range(count)]
    total, used = sum(value.nbytes for value in tensors.values()), 0
    for name, value in tensors.items():
        shards[min(count - 1, used * count // total)].append(name)
        used += value.nbytes
    yield from shards


def _filled(name: str, shape: Tensor) -> Tensor:
    """Random weights whose outputs are finite; what is computed and not on the meta device is kept."""
    if not shape.is_meta:
        return shape
    value = torch.empty(shape.shape, dtype=shape.dtype)
    if value.dim() == 1:
        return value.fill_(float(name.endswith("weight")))
    return value.normal_(std=0.02)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    if path.suffix == ".bin":
        torch.save(tensors, path)
    else:
        save_file(tensors, path, metadata={"format": "pt"})


def _measure(arguments: list[object]) -> dict[str, object]:
    """Run a command; its peak is the anonymous memory of all its processes."""
    started, peak, outcome = time.monotonic(), 0, "ok"
    process = psutil.Popen(
        [sys.executable, "-m", "glamm", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        peak = max(peak, _anonymous_bytes(process))
        if psutil.virtual_memory().available < _LEAST_MEMORY:
            outcome = "killed: less than 1 GB of memory was left"
            process.kill()
        time.sleep(_SAMPLE_SECONDS)
    _, errors = process.communicate()
    if process.returncode and outcome == "ok":
        outcome = errors.strip().splitlines()[-1] if errors.strip() else str(process.returncode)
    return {
        "outcome": outcome,
        "seconds": round(time.monotonic() - started, 1),
        "peak_gb": round(peak / 1e9, 2),
    }


def _anonymous_bytes(process: psutil.Process) -> int:
    total = 0
    for each in [process, *_children(process)]:
        try:
            status = Path(f"/proc/{each.pid}/status").read_text()
        except OSError:
            continue  # it ended meanwhile
        lines = (line.split() for line in status.splitlines() if line.startswith("RssAnon:"))
        total += sum(int(line[1]) * 1024 for line in lines)
    return total


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _compare(source: Path, back: Path) -> dict[str, object]:
    """Compare the tensors of two folders, each pair in the type of one of them."""
    weight_map = json.loads((back / SAFETENSORS_INDEX).read_bytes())["weight_map"]
    theirs = open_weights(source)
    differing = sorted(theirs.headers().keys() ^ weight_map.keys())
    equal = 0
    for name, tensor in theirs.tensors():
        if name in differing:
            continue
        returned = read_tensor(back / weight_map[name], name)
        is_equal = torch.equal(returned, tensor.to(returned.dtype))
        if is_equal or torch.equal(returned.to(tensor.dtype), tensor):
            equal += 1
        else:
            differing.append(name)
    return {"equal": equal, "tensors": len(theirs.headers()), "differing": differing[:5]}


def _disk_gb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9, 2)


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2))


if __name__ == "__main__":
    main()
