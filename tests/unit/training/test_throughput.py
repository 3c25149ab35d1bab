import pytest
import torch

from glamm.training.throughput import ThroughputMeter
from tests.builders.models import SEG, build_batch, build_model


class Clock:
    """A clock that only the test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def run_pass(meter, batch, clock, *, wait=0.0, compute=0.0):
    meter.request_batch()
    clock.now += wait
    meter.begin_pass()
    clock.now += compute
    meter.end_pass(batch)


def test_time_between_passes_does_not_count():
    clock = Clock()
    meter = ThroughputMeter(None, world_size=2, clock=clock)
    batch = build_batch([[7, 8, 2], [7, 2]], image_index=[0, 1])

    run_pass(meter, batch, clock, wait=1.0, compute=3.0)
    clock.now += 60.0  # a validation
    run_pass(meter, batch, clock, wait=2.0, compute=2.0)
    rates = meter.take()

    assert rates["samples_per_second"] == pytest.approx(8 / 8)
    assert rates["data_wait_share"] == pytest.approx(3 / 8)


def test_tokens_and_padding_are_those_of_the_batches():
    clock = Clock()
    meter = ThroughputMeter(None, world_size=1, clock=clock)
    batch = build_batch([[7, 8, 2], [7, 2]], image_index=[0, 1])

    run_pass(meter, batch, clock, compute=0.01)
    rates = meter.take()

    tokens, positions = int(batch.attention_mask.sum()), batch.input_ids.numel()
    assert rates["padding_share"] == 1 - tokens / positions
    assert rates["tokens_per_second"] / rates["samples_per_second"] == pytest.approx(tokens / 2)


def test_taking_rates_begins_anew():
    clock = Clock()
    meter = ThroughputMeter(None, world_size=1, clock=clock)
    run_pass(meter, build_batch([[7, 2]], image_index=[0]), clock)
    meter.take()

    assert meter.take() == {"samples_per_second": 0.0, "data_wait_share": 0.0}


def test_operations_of_a_validation_do_not_count():
    model = build_model()
    meter = ThroughputMeter(model, world_size=1)
    batch = build_batch([[7, SEG, 2]], image_index=[0], num_masks=[1])

    rates = []
    for is_validated in (False, True):
        if is_validated:
            with torch.no_grad():
                model(batch)
        meter.request_batch()
        meter.begin_pass()
        model(batch)
        meter.end_pass(batch)
        rates.append(meter.take())

    per_sample = [rate["teraflops_per_second"] / rate["samples_per_second"] for rate in rates]
    assert per_sample[0] == pytest.approx(per_sample[1])
