import os
import signal

import pytest

from glamm.errors import RunInterrupted
from glamm.stop_request import StopRequest


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_before_the_first_step_ends_the_run_at_once(number, code):
    reason = f"{number.name}: nothing new was saved"
    with pytest.raises(RunInterrupted, match=reason) as caught, StopRequest():
        os.kill(os.getpid(), number)

    assert caught.value.exit_code == code


def test_signal_during_a_step_is_remembered_and_logged(caplog):
    with StopRequest() as stop:
        stop.is_stepping = True
        os.kill(os.getpid(), signal.SIGTERM)

    assert stop.received is signal.SIGTERM
    assert "SIGTERM: ending after this step, with a checkpoint" in caplog.text


def test_second_signal_ends_at_once():
    stop = StopRequest()
    stop.is_stepping = True

    with pytest.raises(RunInterrupted, match="SIGINT"), stop:
        _ = [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]


def test_handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    with StopRequest():
        pass

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_signal_is_an_interruption_even_if_native_code_raises_another_error():
    """SIGTERM while a weight file was read ended with a ValueError of the library, and with exit code 1."""

    def read_natively():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    with pytest.raises(RunInterrupted, match="SIGTERM") as caught, StopRequest():
        read_natively()

    assert caught.value.exit_code == 143


def test_error_without_a_signal_is_raised_unchanged():
    with pytest.raises(ValueError, match="shape"), StopRequest():
        raise ValueError("shape")
