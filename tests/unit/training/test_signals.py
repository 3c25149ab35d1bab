import os
import signal

import pytest

from glamm.errors import RunInterrupted
from glamm.training.signals import StopRequest


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_outside_the_steps_ends_the_run_at_once(number, code):
    reason = f"{number.name}: nothing new was saved"
    with pytest.raises(RunInterrupted, match=reason) as caught, StopRequest():
        os.kill(os.getpid(), number)

    assert caught.value.exit_code == code


def test_signal_during_the_steps_is_remembered_and_said(caplog):
    with StopRequest() as stop:
        stop.is_stepping = True
        os.kill(os.getpid(), signal.SIGTERM)

    assert stop.received is signal.SIGTERM
    assert "SIGTERM: finishing this step and saving" in caplog.text


def test_second_signal_ends_at_once():
    stop = StopRequest()
    stop.is_stepping = True

    with pytest.raises(RunInterrupted), stop:
        _ = [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    with StopRequest():
        pass

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_interruption_that_native_code_turned_into_another_error_is_one():
    """Reading a weight file while SIGTERM came ended with a ValueError of the library, and with status 1."""

    def read_natively():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    with pytest.raises(RunInterrupted, match="SIGTERM") as caught, StopRequest():
        read_natively()

    assert caught.value.exit_code == 143


def test_failure_without_a_signal_stays_what_it_is():
    with pytest.raises(ValueError, match="shape"), StopRequest():
        raise ValueError("shape")
