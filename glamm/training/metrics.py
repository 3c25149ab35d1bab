"""How far a run is and how well it goes: metrics.csv, the tracker, and the terminal."""

# ruff: noqa: ARG002 - Lightning calls hooks with names

import csv
import logging
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from glamm.structures.batch import Batch
from glamm.training.base_module import StageModule
from glamm.training.callbacks import ends_a_step
from glamm.training.flops import load_of, peak_flops, training_flops
from glamm.training.joint import JointModule
from glamm.training.run_folder import unwritable

logger = logging.getLogger(__name__)

_LINE_SECONDS = 15.0
"""How often progress is a line of its own where there is no terminal to draw a bar on."""


class Metrics(Callback):
    """Writes metrics.csv and the tracker's history, and shows how far the run is.

    Losses are means over the passes and devices of a step. Rates count all devices as the first one, and neither
    validation nor checkpoints. `data_wait_share` is the share
    of the time in which the model waited for a batch; `tokens_per_second` counts words' tokens, not the images';
    `padding_share` is the share of the words' places that hold none. `teraflops_per_second` is what the model needs
    (`glamm.training.flops`), on one device; `mfu` is that over the device's peak, where that is known.

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
        self._losses: list[dict[str, Tensor]] = []  # of the passes of this step
        self._waited = self._worked = 0.0
        self._samples = self._tokens = self._places = self._flops = 0
        self._batch_started = self._line_written = time.monotonic()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was written, oldest first."""
        return self._rows

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Draw the bar and drop rows that will come again."""
        self._rows = [row for row in read_metrics(self._path) if row["step"] <= trainer.global_step]
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
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count the time since the module asked for a batch as waiting for data."""
        self._batch_started = time.monotonic()
        if isinstance(pl_module, StageModule):
            self._waited += self._batch_started - pl_module.asked_for_data

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - losses by name
        batch: Any,  # noqa: ANN401 - each stage has its own batch
        batch_idx: int,
    ) -> None:
        """Write when it is time."""
        self._worked += time.monotonic() - self._batch_started
        self._samples += batch.num_samples * trainer.world_size
        if isinstance(batch, Batch):
            self._tokens += batch.num_tokens * trainer.world_size
            self._places += batch.input_ids.numel() * trainer.world_size
        if isinstance(batch, Batch) and isinstance(pl_module, JointModule):
            self._flops += training_flops(pl_module.model, load_of(batch, pl_module.model.config))
        self._losses.append({name: value.detach() for name, value in outputs.items()})
        if not ends_a_step(trainer, batch_idx):
            return
        step, passes, self._losses = trainer.global_step, self._losses, []
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step)
        if step % self._every_steps == 0:
            losses = mean_losses(passes, trainer)
            if trainer.is_global_zero:
                self._write(trainer, losses)

    def record(self, values: Mapping[str, float], step: int) -> None:
        """Write validation metrics."""
        self._append({"step": step, **values}, step)
        self._say(step, values)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Leave the terminal as it was."""
        self._close()

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _write(self, trainer: lightning.Trainer, losses: dict[str, float]) -> None:
        elapsed = max(1e-9, self._waited + self._worked)
        values = {
            **losses,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "samples_per_second": self._samples / elapsed,
            "data_wait_share": self._waited / elapsed,
        }
        if self._tokens:
            values["tokens_per_second"] = self._tokens / elapsed
            values["padding_share"] = 1 - self._tokens / self._places
        if self._flops:
            values |= _use(self._flops / elapsed)
        values["peak_memory_mib"] = peak_memory_mib()
        self._append({"step": trainer.global_step, **values}, trainer.global_step)
        self._waited = self._worked = 0.0
        self._samples = self._tokens = self._places = self._flops = 0
        now = time.monotonic()
        if self._bar or now - self._line_written > _LINE_SECONDS:
            self._line_written = now
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


def mean_losses(
    passes: Sequence[Mapping[str, Tensor]], trainer: lightning.Trainer
) -> dict[str, float]:
    """Losses of a step by name; all devices call it together.

    Args:
        passes: What `training_step` returned, as Lightning hands it on: `loss` as its share of the step.
        trainer: Knows the other devices.
    """
    shares = {name: 1.0 if name == "loss" else 1 / len(passes) for name in passes[0]}
    sums = torch.stack(
        [
            share * torch.stack([one[name].float() for one in passes]).sum()
            for name, share in shares.items()
        ]
    )
    means = trainer.strategy.reduce(sums, reduce_op="mean")
    return dict(zip(shares, means.tolist(), strict=True))


def peak_memory_mib() -> int:
    """Most memory that this process had at once: the device's where there is one, else the machine's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # KiB on Linux


def _use(flops_per_second: float) -> dict[str, float]:
    """How much of a device is used."""
    values = {"teraflops_per_second": flops_per_second / 1e12}
    peak = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    return values | ({"mfu": flops_per_second / peak} if peak else {})


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
    """Write rows that may have different columns; the file is replaced as a whole.

    Raises:
        HostError: It cannot be written; the former file is still there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
