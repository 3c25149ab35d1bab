import os
import signal
import subprocess
import time

import psutil
import pytest

from tests.builders.training import GLAMM, make_shards, save_micro


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """Shards of 36 synthetic images, and the folder of a very small model to start from."""
    folder = tmp_path_factory.mktemp("training")
    make_shards(folder)
    save_micro(folder / "start")
    return folder


class TrainProcess:
    """`glamm train` in its own process group, as a terminal starts it."""

    def __init__(self, arguments, *, cwd, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        self._process = subprocess.Popen(
            [GLAMM, "train", *arguments],
            cwd=cwd,
            env=clean | {"OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.cwd = cwd
        self.family = set()

    def watch(self):
        """Record all processes that this one has started so far; False if it has ended."""
        if self._process.poll() is not None:
            return False
        self.family |= set(psutil.Process(self.pid).children(recursive=True))
        return True

    def wait_for(self, pattern, *, seconds=200):
        """Wait until a file appears in the working directory or below."""
        deadline = time.monotonic() + seconds
        while not list(self.cwd.glob(pattern)):
            assert self.watch(), self.finish()
            assert time.monotonic() < deadline, f"no {pattern}"
            time.sleep(0.02)
        self.watch()

    def signal(self, number, *, is_for_all=False):
        self.watch()
        (os.killpg if is_for_all else os.kill)(self.pid, number)

    def finish(self, *, seconds=200):
        """Wait for the end; the exit code and the output."""
        output, _ = self._process.communicate(timeout=seconds)
        return self._process.returncode, output

    def left_over(self, *, seconds=20):
        """Processes that it started and that are alive after a grace period."""
        _, alive = psutil.wait_procs(list(self.family), timeout=seconds)
        return alive

    def kill(self):
        for process in [*self.family]:
            if process.is_running():
                process.kill()
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.communicate()


@pytest.fixture
def start_train(training_data, tmp_path):
    """Start `glamm train`; keyword arguments are keys of the section `train`. No process outlives the test."""
    started = []

    def start(out="out", *, cwd=tmp_path, environment=None, **fields):
        settings = {
            "init_from": training_data / "start",
            "devices": 1,
            "log_steps": 1,
            "loader.batch_size": 2,
            "validation.num_batches": 1,
            "checkpoint_steps": 5,
            "max_steps": 30,
        }
        given = settings | {name.replace("__", "."): value for name, value in fields.items()}
        options = [
            option for name, value in given.items() for option in ("--set", f"train.{name}={value}")
        ]
        process = TrainProcess(
            [str(training_data / "shards"), out, *options], cwd=cwd, **(environment or {})
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
