"""Quantization of the language model's weights; measure its effect with `glamm evaluate`."""

import importlib

import torch

from glamm.config.evaluation import WeightsKind
from glamm.errors import HostError
from glamm.models.glamm import GLaMM

_GROUP_SIZE = 32


def quantize_language_model(model: GLaMM, kind: WeightsKind) -> None:
    """Quantize the weights of the language model's layers, in place; the head and all other parts are unchanged.

    Args:
        model: In evaluation mode.
        kind: "int8" scales each output channel, "int4" each group of 32 weights; "full" changes nothing.

    Raises:
        HostError: torchao is not installed.
    """
    if kind == "full":
        return
    try:
        torchao = importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise HostError(
            f"weights {kind} need torchao: pip install 'glamm[quantize]' ({error})"
        ) from error
    config = (
        torchao.Int8WeightOnlyConfig()
        if kind == "int8"
        else torchao.IntxWeightOnlyConfig(
            weight_dtype=torch.int4,  # pyright: ignore[reportAttributeAccessIssue] - missing in the stubs
            granularity=torchao.PerGroup(_GROUP_SIZE),
        )
    )
    torchao.quantize_(model.language_model.model.layers, config)
