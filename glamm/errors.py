"""What can go wrong, named by who must act.

Every error of this tree carries one message that says what happened, where, and what to do. The command line
prints it as one line without a traceback and ends with the class's `exit_code`; the service answers 400 for
`RequestError` and 500 or 503 for the rest. Anything outside this tree is a bug of ours and keeps its traceback.
"""

from pathlib import Path


class GlammError(Exception):
    """An expected failure with a message for a person."""

    exit_code = 1


class RequestError(GlammError):
    """The sender of the request must act: an unreadable image, a box outside it, a prompt that is too long."""


class ConfigError(GlammError):
    """The author of params.yaml or of an option must act: unknown key, wrong type, values that contradict."""

    exit_code = 2


class DataError(GlammError):
    """The owner of a data set must act.

    Args:
        reason: What is wrong and what to do about it.
        file: The file with the fault.
        record: Which record in it: an index, an id or an image name.
        field: Which field of the record.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: Path | str | None = None,
        record: str | int | None = None,
        field: str | None = None,
    ) -> None:
        self.reason, self.file, self.record, self.field = reason, file, record, field
        location = ", ".join(
            f"{name} {value}"
            for name, value in (("file", file), ("record", record), ("field", field))
            if value is not None
        )
        super().__init__(f"{location}: {reason}" if location else reason)


class CheckpointError(GlammError):
    """The supplier of weights must act: a cut file, a missing or unexpected tensor, a wrong shape."""


class HostError(GlammError):
    """The administrator of the machine must act: Java does not start, the disk is full, a port is taken."""


class BusyError(GlammError):
    """The sender of the request may try again later: the queue is full."""


class RunInterrupted(GlammError):  # noqa: N818 - an event, not a fault
    """A person or the machine ended the run; what was finished before stays good."""

    exit_code = 130
