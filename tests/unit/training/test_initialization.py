import pytest
import torch

from glamm.checkpoints.store import load_model, read_config
from glamm.errors import CheckpointError, ConfigError
from glamm.training.initialization import GROUNDING_PARTS, make_start
from tests.builders.training import save_micro, train_config


def test_start_from_a_folder_has_its_weights_and_name(micro):
    start = make_start(train_config(init_from=str(micro)))

    weights = load_model(micro)[0].state_dict()
    assert all(
        torch.equal(value, weights[name]) for name, value in start.model.state_dict().items()
    )
    assert start.origin == read_config(micro).weights_sha256
    assert start.model.training


def test_parts_for_masks_come_from_the_other_folder(micro, tmp_path):
    other = save_micro(tmp_path / "other", seed=1)

    start = make_start(train_config(init_from=str(micro), init_grounding_from=str(other)))

    one, two = (load_model(folder)[0].state_dict() for folder in (micro, other))
    for name, value in start.model.state_dict().items():
        source = two if name.split(".")[0] in GROUNDING_PARTS else one
        assert torch.equal(value, source[name]), name
    assert start.origin == "+".join(read_config(folder).weights_sha256 for folder in (micro, other))


def test_loss_weights_of_the_run_become_the_models(micro):
    start = make_start(train_config(init_from=str(micro), bce_weight=7.0, dice_weight=None))

    before = load_model(micro)[1].losses
    assert start.model.config.losses.bce_weight == 7.0
    assert start.model.config.losses.dice_weight == before.dice_weight


def test_embedded_start_is_of_one_size():
    with pytest.raises(ConfigError, match="embedded start for size tiny only, not for small"):
        make_start(train_config(init_from="embedded", size="small"))


def test_embedded_start_loads():
    start = make_start(train_config(init_from="embedded"))

    assert all(value.dtype == torch.float32 for value in start.model.parameters())


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        make_start(train_config(init_from=str(tmp_path / "nowhere")))
