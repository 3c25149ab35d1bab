"""Conformance sets of other sizes: this model computes their references, so only the conformance code is tested."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from glamm.checkpoints.name_maps.official import into_official
from glamm.evaluation.conformance import read_set, run_case, run_conformance
from glamm.evaluation.conformance.pixels import compute_pixels
from glamm.evaluation.conformance.run import build_model
from glamm.files import read_json_object
from glamm.geometry.preprocess import longest_side_size
from glamm.models.glamm import GLaMM
from tests.builders.models import GOLDENS

DEV = GOLDENS / "conformance" / "dev"
CASES = (
    "evaluate_gcg",
    "evaluate_region",
    "train_caption",
    "train_gcg",
    "train_refseg",
    "train_region",
)

VARIATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "regions from two thirds": {
        "clip": {"image_size": 84, "num_layers": 13},
        "region": {"roi_base_size": 56},
    },
    "fewer levels, closer together": {
        "clip": {"num_layers": 7, "hidden_size": 32, "select_layer": -1},
        "region": {"num_levels": 3, "level_step": 2, "gn_groups": 8, "num_fuse": 2, "roi_size": 7},
    },
    "grouped keys and more layers": {
        "llm": {"num_layers": 3, "hidden_size": 96, "num_heads": 6, "num_key_value_heads": 2},
        "sam": {"image_size": 192, "depth": 4, "global_attn_indexes": [0, 3], "window_size": 5},
    },
    "other widths and a longer vocabulary": {
        "llm": {"vocab_size": 700, "intermediate_size": 80, "rms_norm_eps": 1e-6},
        "sam": {"embed_dim": 48, "prompt_embed_dim": 64, "decoder_mlp_dim": 40, "patch_size": 8},
        "clip": {"patch_size": 8, "image_size": 40},
    },
}


def _make_set(folder: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Write the cases of the dev set for a model of another size: their inputs, with new images and weights."""
    folder.mkdir()
    sizes = read_json_object(DEV / "config.json")
    for section, values in changes.items():
        sizes[section] |= values
    (folder / "config.json").write_text(json.dumps(sizes))
    for image in DEV.glob("*.png"):
        shutil.copy(image, folder)
    shutil.copy(DEV.parent / "tokenizer" / "tokenizer.model", folder)
    save_file({}, folder / "weights.safetensors")
    names = load_file(DEV / "pixels.safetensors")
    save_file({name: torch.zeros(1) for name in names}, folder / "pixels.safetensors")
    draft = read_set(folder)
    torch.manual_seed(0)
    weights = into_official(GLaMM.from_config(draft.config).state_dict(), draft.config)
    save_file(
        {name: value.contiguous().clone() for name, value in weights.items()},
        folder / "weights.safetensors",
    )
    save_file(compute_pixels(draft), folder / "pixels.safetensors")
    for name in CASES:
        _write_case(folder, name, side=sizes["sam"]["image_size"])


def _write_case(folder: Path, name: str, *, side: int) -> None:
    """Write a case with its inputs from the dev set, and with outputs computed by this model."""
    description = read_json_object(DEV / f"{name}.json")
    description.pop("grad_norms", None)
    description.pop("losses", None)
    originals = description.get("label_sizes") or description.get("orig_sizes")
    if originals:
        description["resize_list"] = [
            longest_side_size(tuple(size), side=side) for size in originals
        ]
    (folder / f"{name}.json").write_text(json.dumps(description))
    reference = load_file(DEV / f"{name}.safetensors")
    path = folder / f"{name}.safetensors"
    inputs = {key: value for key, value in reference.items() if key.startswith("in.")}
    outputs = {
        key: value
        for key, value in reference.items()
        if key.startswith("out.") and "logits_sample" not in key
    }
    save_file(inputs | outputs, path)
    conformance = read_set(folder)
    result = run_case(build_model(conformance), conformance, name)
    assert outputs.keys() <= result.computed.tensors.keys()
    save_file({key: value.contiguous() for key, value in result.computed.tensors.items()}, path)


@pytest.mark.slow
@pytest.mark.parametrize("changes", VARIATIONS.values(), ids=VARIATIONS)
def test_conformance_runs_on_models_of_other_sizes(
    changes: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    _make_set(tmp_path / "set", changes)

    results = {result.name: result for result in run_conformance(tmp_path / "set")}

    assert results.keys() == {*CASES, "pixels"}
    for result in results.values():
        assert result.comparisons
        assert [comparison for comparison in result.comparisons if not comparison.is_ok] == []
