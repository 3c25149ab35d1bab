import pytest
import torch

from glamm.checkpoints.store import load_model, read_config
from glamm.errors import CheckpointError, ConfigError
from glamm.training.initialization import GROUNDING_PARTS, initialize_model
from tests.builders.training import save_micro, train_config


def test_initialization_from_a_folder_has_its_weights_and_checksum(micro):
    initial = initialize_model(train_config(init_from=str(micro)))

    weights = load_model(micro)[0].state_dict()
    assert all(
        torch.equal(value, weights[name]) for name, value in initial.model.state_dict().items()
    )
    assert initial.checksum == read_config(micro).weights_sha256
    assert initial.model.training


def test_grounding_parts_come_from_the_other_folder(micro, tmp_path):
    other = save_micro(tmp_path / "other", seed=1)

    initial = initialize_model(train_config(init_from=str(micro), init_grounding_from=str(other)))

    first, second = (load_model(folder)[0].state_dict() for folder in (micro, other))
    for name, value in initial.model.state_dict().items():
        source = second if name.split(".")[0] in GROUNDING_PARTS else first
        assert torch.equal(value, source[name]), name
    assert initial.checksum == "+".join(
        read_config(folder).weights_sha256 for folder in (micro, other)
    )


def test_loss_weights_of_the_run_are_stored_in_the_model(micro):
    initial = initialize_model(train_config(init_from=str(micro), bce_weight=7.0, dice_weight=None))

    before = load_model(micro)[1].losses
    assert initial.model.config.losses.bce_weight == 7.0
    assert initial.model.config.losses.dice_weight == before.dice_weight


def test_embedded_model_has_one_size():
    with pytest.raises(ConfigError, match="embedded model of size tiny only, not of small"):
        initialize_model(train_config(init_from="embedded", size="small"))


def test_embedded_model_loads():
    initial = initialize_model(train_config(init_from="embedded"))

    assert all(value.dtype == torch.float32 for value in initial.model.parameters())


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        initialize_model(train_config(init_from=str(tmp_path / "nowhere")))
