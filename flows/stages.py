"""Runs stages as `dvc repro --single-item STAGE`; DVC decides which are stale, this module reports how they ended."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.workspace import dvc_command, stage_environment
from glamm.errors import RunInterrupted
from glamm.subprocesses import ProcessGroups

StageState = Literal["Completed", "Skipped", "Failed", "Cancelled", "Not run"]

GRACE_S = 25.0  # Prefect kills a canceled flow after 30 seconds
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
        message: An explanation; for a failed stage its last lines of output.
    """

    stage: str
    state: StageState
    seconds: float = 0.0
    message: str = ""


class StageRunner:
    """Runs the stages of one working tree; several at a time, each called from a thread of its own.

    Args:
        root: The folder with dvc.yaml.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outcomes: dict[str, StageOutcome] = {}
        self._groups = ProcessGroups()
        self._is_stopping = threading.Event()

    def run(self, stage: str, *, on_line: Callable[[str], None]) -> StageOutcome:
        """Run one stage, without the stages that it needs.

        Args:
            stage: Its name in dvc.yaml.
            on_line: Called with each line that DVC and the stage's command write.

        Returns:
            The outcome, which is added to `outcomes`. A failed stage raises nothing.
        """
        lines: deque[str] = deque(maxlen=TAIL_LINES)
        ran = False

        def note(line: str) -> None:
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
                on_line=note,
            )
        except RunInterrupted as error:
            return self._keep(StageOutcome(stage, "Cancelled", message=str(error)))
        seconds = time.monotonic() - began
        if self._is_stopping.is_set():
            return self._keep(
                StageOutcome(stage, "Cancelled", seconds, "stopped; run it again to continue")
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
        return self._keep(StageOutcome(stage, "Skipped", seconds, "DVC already has its results"))

    def stop(self) -> None:
        """End the running stages with their children; further stages are not started."""
        self._is_stopping.set()
        self._groups.stop(grace_s=GRACE_S)

    def _keep(self, outcome: StageOutcome) -> StageOutcome:
        self.outcomes[outcome.stage] = outcome
        return outcome


def all_outcomes(
    stages: Mapping[str, object], outcomes: Mapping[str, StageOutcome]
) -> list[StageOutcome]:
    """The outcome of every stage, in the stages' order; those without one were not run."""
    return [outcomes.get(stage, StageOutcome(stage, "Not run")) for stage in stages]
