import torch

from glamm.structures.batch import tensor_bytes


def test_tensor_bytes_adds_up_nested_tensors():
    assert tensor_bytes((torch.zeros(3, dtype=torch.uint8), (torch.zeros(2), "text"))) == 11
