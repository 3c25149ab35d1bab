import pytest
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy

from glamm.errors import ConfigError, HostError
from glamm.training import strategy
from glamm.training.strategy import make_strategy
from tests.builders.training import train_config


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"devices": 1}, SingleDeviceStrategy),
        ({"devices": 2}, DDPStrategy),
        ({"devices": 1, "nodes": 2}, DDPStrategy),
        ({"devices": 1, "strategy": "ddp"}, DDPStrategy),
        ({"devices": 2, "strategy": "fsdp2"}, ModelParallelStrategy),
    ],
    ids=["one device", "two devices", "two machines", "ddp", "fsdp2"],
)
def test_name_and_devices_choose_the_strategy(values, kind):
    assert type(make_strategy(train_config(**values))) is kind


def test_deepspeed_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setattr(strategy, "find_spec", lambda _: None)

    with pytest.raises(HostError, match="pip install deepspeed"):
        make_strategy(train_config(strategy="deepspeed_2"))


def test_deepspeed_without_a_gpu_names_the_remedy(monkeypatch):
    monkeypatch.setattr(strategy, "find_spec", lambda name: name)

    with pytest.raises(HostError, match="needs a GPU; on CPUs use ddp"):
        make_strategy(train_config(strategy="deepspeed_3"))


def test_encoder_phases_are_not_sharded():
    with pytest.raises(
        ConfigError, match="fsdp2 is for the phase joint only; for grounding use ddp"
    ):
        make_strategy(train_config(strategy="fsdp2", phase="grounding"))
