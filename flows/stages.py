"""Runs stages as `dvc repro -s STAGE`: DVC decides what is stale, this module says how it ended."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flows.stage_process import ProcessGroups
from flows.workspace import dvc_command, stage_environment
from glamm.errors import RunInterrupted

StageState = Literal["Completed", "Skipped", "Failed", "Cancelled", "Not run"]

GRACE_S = 25.0  # Prefect kills a cancelled flow after 30 seconds
TAIL_LINES = 15  # of a failing stage's output, as its failure message
_RUNNING = re.compile(r"^Running stage '")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class StageOutcome:
    """How one stage ended.

    Args:
        stage: Its name in dvc.yaml.
        state: `Skipped` where DVC found nothing to do, or restored a former run's results.
        seconds: Wall clock time.
        message: For a person; for a failed stage its last lines.
    """

    stage: str
    state: StageState
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages of one working tree, several at a time if asked from several threads.

    Args:
        root: The folder that holds dvc.yaml.
    """

    root: Path
    outcomes: dict[str, StageOutcome] = field(default_factory=dict[str, StageOutcome])
    _groups: ProcessGroups = field(default_factory=ProcessGroups)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, stage: str, *, on_line: Callable[[str], None]) -> StageOutcome:
        """Run one stage, without those that it needs.

        Args:
            stage: Its name in dvc.yaml.
            on_line: Called with each line that DVC and the stage's command write.

        Returns:
            The outcome, which `outcomes` keeps too. A failing stage is an outcome and no exception.
        """
        lines: deque[str] = deque(maxlen=TAIL_LINES)
        ran = False

        def keep(line: str) -> None:
            nonlocal ran
            line = _ANSI.sub("", line)
            if not line.strip():
                return
            ran = ran or _RUNNING.match(line) is not None
            lines.append(line)
            on_line(line)

        began = time.monotonic()
        try:
            code = self._groups.run(
                dvc_command("repro", "--single-item", stage),
                cwd=self.root,
                env=stage_environment(self.root),
                on_line=keep,
            )
        except RunInterrupted as error:
            return self._keep(StageOutcome(stage, "Cancelled", message=str(error)))
        seconds = time.monotonic() - began
        if self._stopping.is_set():
            return self._keep(
                StageOutcome(stage, "Cancelled", seconds, "stopped; run it again to go on")
            )
        if code:
            tail = "\n".join(lines)
            return self._keep(
                StageOutcome(
                    stage, "Failed", seconds, f"stage '{stage}' failed (exit code {code}):\n{tail}"
                )
            )
        if ran:
            return self._keep(StageOutcome(stage, "Completed", seconds))
        return self._keep(StageOutcome(stage, "Skipped", seconds, "DVC has its results already"))

    def stop(self) -> None:
        """End what is running, children included, and start nothing more."""
        self._stopping.set()
        self._groups.stop(grace_s=GRACE_S)

    def _keep(self, outcome: StageOutcome) -> StageOutcome:
        self.outcomes[outcome.stage] = outcome
        return outcome


def all_outcomes(
    stages: Mapping[str, object], outcomes: Mapping[str, StageOutcome]
) -> list[StageOutcome]:
    """One outcome a stage, in the stages' order; those without one were not run."""
    return [outcomes.get(stage, StageOutcome(stage, "Not run")) for stage in stages]
