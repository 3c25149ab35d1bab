import pytest
import torch

from glamm.errors import HostError, RequestError
from glamm.inference.device import choose_device, torch_dtype


def test_auto_is_a_gpu_if_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_name_that_is_not_a_device():
    with pytest.raises(RequestError, match="device 'gpu': write auto, cpu, cuda"):
        choose_device("gpu")


def test_a_gpu_that_is_not_there():
    name = f"cuda:{torch.cuda.device_count()}"

    with pytest.raises(HostError, match=rf"device '{name}': torch finds \d+ CUDA GPUs"):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param("bfloat16", torch.bfloat16, id="name"),
        pytest.param(torch.float16, torch.float16, id="type"),
        pytest.param(None, None, id="that of the file"),
    ],
)
def test_dtype(name, dtype):
    assert torch_dtype(name) is dtype
