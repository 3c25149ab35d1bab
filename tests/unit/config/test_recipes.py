"""The recipes are params files that say what the release's runs were."""

from pathlib import Path

import pytest

from glamm.config.params import load_params
from glamm.data.readers.registry import READERS_BY_NAME

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("*.yaml"))
OF_THE_RELEASE = [path for path in RECIPES if not path.stem.startswith("tiny")]
PICTURES_A_STEP = 160


def test_every_run_of_the_release_has_a_recipe():
    assert {path.stem for path in RECIPES} == {
        "grand-pretrain",
        "gcg",
        "refseg",
        "regcap-refcocog",
        "regcap-vg",
        "combined",
        "tiny-pretrain",
        "tiny-finetune",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_names_data_sets_that_can_be_read(path):
    params = load_params(path)

    assert set(params.train.loader.mixture.dataset_weights) == set(params.prepare.datasets)
    assert set(params.prepare.datasets) <= set(READERS_BY_NAME)


@pytest.mark.parametrize("path", OF_THE_RELEASE, ids=lambda path: path.stem)
def test_recipe_has_the_rates_and_the_parts_of_the_release(path):
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
    assert images == PICTURES_A_STEP
    assert sum(config.loader.mixture.weights().values()) == pytest.approx(1, abs=1e-3)
