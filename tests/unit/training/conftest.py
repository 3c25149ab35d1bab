import pytest
import torch

from tests.builders.training import make_shards, save_micro


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """36 drawn images, prepared."""
    return make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def micro(tmp_path_factory):
    """A folder of a very small model."""
    return save_micro(tmp_path_factory.mktemp("micro") / "start")


@pytest.fixture(scope="session")
def micro_bf16(tmp_path_factory):
    """A folder of a very small model in bfloat16."""
    return save_micro(tmp_path_factory.mktemp("micro") / "bf16", dtype=torch.bfloat16)
