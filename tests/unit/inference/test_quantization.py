import importlib.util
import sys

import pytest
import torch

from glamm.errors import HostError
from glamm.inference.quantization import quantize_language_model
from tests.builders.models import build_model


def states(model):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(1, 8, model.config.language_model.hidden_size, generator=generator)
    with torch.inference_mode():
        return model.language_model.model(inputs_embeds=embeddings).last_hidden_state


def test_full_weights_are_unchanged():
    model = build_model()
    before = states(model)

    quantize_language_model(model, "full")

    assert torch.equal(states(model), before)


@pytest.mark.skipif(
    importlib.util.find_spec("torchao") is None,
    reason="importing torchao slows down every start: make test runs this file again with it",
)
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("int8", 0.02), ("int4", 0.25)], ids=["int8", "int4"]
)
def test_quantized_weights_give_similar_states(kind, tolerance):
    model = build_model()
    before = states(model)

    quantize_language_model(model, kind)

    difference = (states(model) - before).norm() / before.norm()
    assert 0 < difference < tolerance


def test_missing_torchao_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)  # as if it were not installed

    with pytest.raises(HostError, match=r"pip install 'glamm\[quantize\]'"):
        quantize_language_model(build_model(), "int8")
