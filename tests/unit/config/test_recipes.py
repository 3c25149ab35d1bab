"""Recipes are params files: those of the release's runs, and those that the embedded model was pretrained with."""

import re
from pathlib import Path

import pytest

from glamm.config.params import load_params
from glamm.data.readers.registry import READERS_BY_NAME

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
RELEASE_RECIPES = [path for path in RECIPES if not path.stem.startswith("tiny-")]
PRETRAIN_RECIPES = [path for path in RECIPES if path.stem.startswith("tiny-")]
IMAGES_PER_STEP = 160


def test_every_run_of_the_release_has_a_recipe():
    assert {path.stem for path in RELEASE_RECIPES} == {
        "grand-pretrain",
        "gcg",
        "refseg",
        "regcap-refcocog",
        "regcap-vg",
        "combined",
    }


def test_pretrain_script_uses_every_recipe_of_the_tiny_model():
    script = (ROOT / "scripts/pretrain").read_text()

    trained = re.findall(r"^ *train [\w-]+ ([\w-]+)", script, re.MULTILINE)
    named = re.findall(r"recipes/tiny-pretrain-([\w-]+)\.yaml", script)

    assert {f"tiny-pretrain-{name}" for name in (*trained, *named)} == {
        path.stem for path in PRETRAIN_RECIPES
    }


@pytest.mark.parametrize("path", PRETRAIN_RECIPES, ids=lambda path: path.stem)
def test_recipe_of_the_tiny_model_is_valid(path):
    params = load_params(path)

    assert params.train.size == "tiny"


@pytest.mark.parametrize("path", RELEASE_RECIPES, ids=lambda path: path.stem)
def test_recipe_of_the_release_names_data_sets_that_can_be_read(path):
    params = load_params(path)

    assert set(params.train.loader.mixture.dataset_weights) == set(params.prepare.datasets)
    assert set(params.prepare.datasets) <= set(READERS_BY_NAME)


@pytest.mark.parametrize("path", RELEASE_RECIPES, ids=lambda path: path.stem)
def test_recipe_has_the_learning_rates_and_trained_parts_of_the_release(path):
    config = load_params(path).train

    assert config.lora
    assert (config.lora.rank, config.lora.alpha, config.lora.dropout) == (8, 16, 0.05)
    assert config.trainable
    assert (config.bce_weight, config.dice_weight) == (2.0, 0.5)
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.warmup_steps) == (3e-4, 100)
    assert (optimizer.beta1, optimizer.beta2, optimizer.encoder_lr_scale) == (0.9, 0.95, 0)
    images = (
        config.loader.batch_size * config.devices * config.nodes * config.accumulate_grad_batches
    )
    assert images == IMAGES_PER_STEP
    assert sum(config.loader.mixture.weights().values()) == pytest.approx(1, abs=1e-3)
