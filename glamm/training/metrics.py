"""Where the metrics of a run go: metrics.csv, the history of Weights & Biases, and the log."""

import csv
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glamm.files import replacing
from glamm.tracking.runs import Run
from glamm.training.run_folder import write_error

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"

_LINE_SECONDS = 15.0
"""Least time between two lines on training in the log."""


class MetricsRecorder:
    """Records the metrics of a run; a resumed run continues the file of the first one.

    Args:
        path: The CSV file; it has a row for every `log_steps` steps of training, and one for every validation.
        run: The Weights & Biases run; None if there is none.
        max_steps: Total number of steps, for the log.
        shows_training: Write a line on training into the log from time to time; not needed beside a progress bar.
    """

    def __init__(
        self, path: Path, *, run: Run | None, max_steps: int, shows_training: bool
    ) -> None:
        self._path, self._run = path, run
        self._max_steps, self._shows_training = max_steps, shows_training
        self._rows: list[dict[str, Any]] = []
        self._last_line = time.monotonic()

    @property
    def last_metrics(self) -> dict[str, float]:
        """The last value of every metric."""
        return {name: value for row in self._rows for name, value in row.items() if name != "step"}

    def resume(self, step: int) -> None:
        """Take over the rows up to a step; later ones will come again."""
        self._rows = [row for row in read_metrics(self._path) if row["step"] <= step]

    def record_training(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics of training after a step."""
        self._append(step, values)
        now = time.monotonic()
        if self._shows_training and now - self._last_line > _LINE_SECONDS:
            self._last_line = now
            shown = {"loss": values["loss"], "samples/s": values["samples_per_second"]}
            logger.info("step %s/%s: %s", step, self._max_steps, _as_text(shown))

    def record_validation(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics of a validation after a step."""
        self._append(step, values)
        logger.info("step %s: %s", step, _as_text(values))

    def _append(self, step: int, values: Mapping[str, float]) -> None:
        self._rows.append({"step": step, **values})
        write_metrics(self._path, self._rows)
        if self._run:
            self._run.log(values, step)


def _as_text(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.csv, without empty cells; none if there is no file."""
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
    """Write rows, which may have different columns; the file is replaced as a whole.

    Raises:
        HostError: It cannot be written; the former file is still there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    try:
        with replacing(path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise write_error(path, error) from error
