"""What every test shares: no network but loopback, one thread, derandomised properties in CI."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

torch.set_num_threads(1)

# A shell starts background jobs with Ctrl-C ignored, and nohup ignores SIGHUP; the commands that tests start would inherit it.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests loudly where there is no GPU."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def memorized_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose model has memorized one image; trained once in six seconds, not to be changed."""
    # Not at the top: modules imported before jaxtyping's hook is installed have no shape checks.
    from tests.builders.memorized import train_memorized_model  # noqa: PLC0415

    return train_memorized_model(tmp_path_factory.mktemp("models") / "memorized")
