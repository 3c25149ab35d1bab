"""What happens around the steps: stopping, checkpoints, progress and metrics."""

import csv
import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glamm.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_LINE_SECONDS = 15.0
"""How often progress is a line of its own where there is no terminal to draw a bar on."""


def _ends_a_step(trainer: lightning.Trainer, batch_index: int) -> bool:
    return (batch_index + 1) % trainer.accumulate_grad_batches == 0


class StopOnSignal(Callback):
    """Finishes the step, saves and ends when a person or the machine asks for it.

    Lightning's own answer to SIGTERM leaves `fit` with exit status 0, which a pipeline takes for success, and can
    lock two processes up. Here every process raises a flag, they agree on it after each step, and save together.

    Args:
        save: Writes a checkpoint; called on every process.
    """

    def __init__(self, save: Callable[[lightning.Trainer], None]) -> None:
        self._save = save
        self.received: signal.Signals | None = None
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over; before the trainer starts, so that it leaves them alone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._receive)

    def uninstall(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        self.received = signal.Signals(number)
        logger.warning("%s: finishing this step and saving", self.received.name)
        signal.signal(number, self._previous[number])  # a second one ends at once

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        _outputs: object,
        _batch: object,
        batch_idx: int,
    ) -> None:
        """Agree with the other processes whether to stop."""
        flag = torch.tensor(int(self.received or 0))
        agreed = int(trainer.strategy.reduce(flag.float(), reduce_op="sum").item())
        if not agreed or not _ends_a_step(trainer, batch_idx) or trainer.should_stop:
            return
        self.received = self.received or signal.SIGTERM
        self._save(trainer)
        trainer.should_stop = True


class KeepCheckpoints(Callback):
    """Saves every so many steps, whole or not at all.

    Args:
        folder: Where to.
        every_steps: How often.
    """

    def __init__(self, folder: RunFolder, *, every_steps: int) -> None:
        self._folder, self._every_steps = folder, every_steps

    def save(self, trainer: lightning.Trainer) -> None:
        """Write the state after the present step."""
        step = trainer.global_step
        if self._folder.checkpoint_path(step).exists():
            return
        trainer.save_checkpoint(self._folder.temporary_path(step))
        if trainer.is_global_zero:
            self._folder.commit(step)
        trainer.strategy.barrier("checkpoint")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        _outputs: object,
        _batch: object,
        batch_idx: int,
    ) -> None:
        """Save when it is time."""
        is_due = (
            trainer.global_step % self._every_steps == 0 and trainer.global_step < trainer.max_steps
        )
        if _ends_a_step(trainer, batch_idx) and is_due:
            self.save(trainer)


class Metrics(Callback):
    """Writes metrics.csv and the tracker's history, and shows how far the run is.

    Args:
        path: The CSV; rows after the step that a run resumes from are dropped.
        log: Receives (metrics, step) for the tracker.
        every_steps: How often.
    """

    def __init__(
        self, path: Path, *, log: Callable[[Mapping[str, float], int], None], every_steps: int
    ) -> None:
        self._path, self._log, self._every_steps = path, log, every_steps
        self._rows: list[dict[str, Any]] = []
        self._bar: Progress | None = None
        self._waited = self._samples = self._tokens = 0.0
        self._window_started = self._line_written = self._batch_ended = time.monotonic()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was written, oldest first."""
        return self._rows

    def on_train_start(
        self, trainer: lightning.Trainer, _module: lightning.LightningModule
    ) -> None:
        """Draw the bar and drop rows that will come again."""
        self._rows = [row for row in read_metrics(self._path) if row["step"] <= trainer.global_step]
        self._window_started = self._batch_ended = time.monotonic()
        console = Console(stderr=True)
        if trainer.is_global_zero and console.is_terminal:
            columns = (
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[words]}"),
            )
            self._bar = Progress(*columns, console=console)
            self._bar.add_task(
                "training", total=trainer.max_steps, completed=trainer.global_step, words=""
            )
            self._bar.start()

    def on_train_batch_start(
        self,
        _trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        _batch: object,
        _batch_idx: int,
    ) -> None:
        """Count the time between batches as waiting for data."""
        self._waited += time.monotonic() - self._batch_ended

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        outputs: Mapping[str, Any],
        batch: Any,  # noqa: ANN401 - each stage has its own batch
        batch_idx: int,
    ) -> None:
        """Write when it is time."""
        self._batch_ended = time.monotonic()
        self._samples += batch.num_samples * trainer.world_size
        step = trainer.global_step
        if not trainer.is_global_zero or not _ends_a_step(trainer, batch_idx):
            return
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step)
        if step % self._every_steps == 0:
            self._write(trainer, {name: float(value) for name, value in outputs.items()})

    def record(self, values: Mapping[str, float], step: int) -> None:
        """Write validation metrics."""
        self._append({"step": step, **values}, step)
        self._say(step, values)

    def on_exception(
        self,
        _trainer: lightning.Trainer,
        _module: lightning.LightningModule,
        _exception: BaseException,
    ) -> None:
        """Leave the terminal as it was."""
        self._close()

    def on_train_end(self, _trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _write(self, trainer: lightning.Trainer, losses: dict[str, float]) -> None:
        elapsed = max(1e-9, self._batch_ended - self._window_started)
        values = {
            **losses,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "samples_per_second": self._samples / elapsed,
            "data_wait_share": self._waited / elapsed,
        }
        self._append({"step": trainer.global_step, **values}, trainer.global_step)
        self._waited = self._samples = 0.0
        self._window_started = self._batch_ended
        if self._bar or self._batch_ended - self._line_written > _LINE_SECONDS:
            self._line_written = self._batch_ended
            shown = {"loss": values["loss"], "samples/s": values["samples_per_second"]}
            self._say(trainer.global_step, shown, total=trainer.max_steps)

    def _append(self, row: dict[str, Any], step: int) -> None:
        self._rows.append(row)
        write_metrics(self._path, self._rows)
        self._log({name: value for name, value in row.items() if name != "step"}, step)

    def _say(self, step: int, values: Mapping[str, float], *, total: int | None = None) -> None:
        words = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
        if self._bar and total:
            self._bar.update(self._bar.task_ids[0], words=words)
        elif self._bar:
            self._bar.console.print(f"step {step}: {words}")
        else:
            logger.info("step %s%s: %s", step, f"/{total}" if total else "", words)

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.csv; none when there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {
                name: int(value) if name == "step" else float(value)
                for name, value in row.items()
                if value
            }
            for row in csv.DictReader(file)
        ]


def write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows that may have different columns; the file is replaced as a whole."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
