"""A model that trains in no time, and data for it."""

import subprocess
import sys
from pathlib import Path

import torch

from glamm.checkpoints.store import save_model
from glamm.config.model import (
    GlobalEncoderConfig,
    GroundingEncoderConfig,
    LanguageModelConfig,
    MaskDecoderConfig,
    ModelConfig,
    RegionEncoderConfig,
    SpecialTokens,
)
from glamm.config.training import TrainConfig
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import Lineage
from glamm.text.tokenizer import embedded_tokenizer

GLAMM = Path(sys.executable).with_name("glamm")


def micro_config(*, grounding_hidden_size: int = 32) -> ModelConfig:
    """A tenth of `tiny`; all five parts are there."""
    vocab_size = len(embedded_tokenizer())
    return ModelConfig(
        global_encoder=GlobalEncoderConfig(
            image_size=32,
            patch_size=8,
            hidden_size=32,
            intermediate_size=64,
            num_layers=4,
            num_heads=2,
            select_layer=-1,
        ),
        region_encoder=RegionEncoderConfig(
            width=16,
            num_groups=4,
            position_dim=16,
            hidden_dim=16,
            roi_size=4,
            num_fusion_layers=1,
            level_step=1,
        ),
        language_model=LanguageModelConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_layers=2,
            num_heads=2,
            max_positions=512,
        ),
        grounding_encoder=GroundingEncoderConfig(
            image_size=32,
            patch_size=8,
            hidden_size=grounding_hidden_size,
            num_layers=2,
            num_heads=2,
            global_attention_layers=(1,),
            window_size=2,
            out_channels=32,
        ),
        mask_decoder=MaskDecoderConfig(num_heads=2, mlp_dim=32, iou_head_hidden_dim=16),
        special_tokens=SpecialTokens.at_end_of(vocab_size),
    )


def save_micro(
    folder: Path,
    *,
    seed: int = 0,
    grounding_hidden_size: int = 32,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a model folder with random weights."""
    torch.manual_seed(seed)
    model = GLaMM.from_config(micro_config(grounding_hidden_size=grounding_hidden_size)).to(dtype)
    save_model(model, folder, tokenizer_model=embedded_tokenizer().model, lineage=Lineage())
    return folder


def train_config(**values) -> TrainConfig:
    """A short run on one device; `values` replace fields, sections as dicts."""
    quick = {
        "devices": 1,
        "log_steps": 1,
        "loader": {"batch_size": 2},
        "validation": {"num_batches": 1, "num_images": 2, "interval": 1000},
        "optimizer": {"warmup_steps": 2},
    }
    return TrainConfig.model_validate(quick | values)


def make_shards(folder: Path) -> Path:
    """Drawn scenes through the commands that a person would use."""
    numbers = ("num_grand=14", "num_train=14", "num_val=6", "num_test=2", "image_size=64")
    settings = [word for number in numbers for word in ("--set", f"synth.{number}")]
    for words in (["synth", "scenes", *settings], ["data", "prepare", "scenes", "shards"]):
        subprocess.run([GLAMM, *words], cwd=folder, check=True, capture_output=True)
    return folder / "shards"
