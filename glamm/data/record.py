"""What a reader yields: records with the samples they hold; what it left out is an `Issue`."""

from dataclasses import dataclass, field
from typing import Any

from glamm.structures.issue import Location
from glamm.structures.sample import Sample


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that one record of a data set's files says about one image.

    Args:
        location: The annotation file, relative to the root, and the record in it.
        samples: At least one; all have the same image and the same objects. A sample without turns and without targets
            stands for a record that was understood and has nothing to train.
        raw: The record as its layout has it, typed; for inspection only.
        remarks: What the layout says beyond the samples, as JSON.
        hidden: Keys of the samples' JSON that the layout's description does not have.
        object_remarks: What the layout says beyond the objects, by object id.
    """

    location: Location
    samples: tuple[Sample, ...]
    raw: object = None
    remarks: dict[str, Any] = field(default_factory=dict)
    object_remarks: dict[int, dict[str, Any]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @property
    def is_trainable(self) -> bool:
        """Whether there is anything to train."""
        return any(sample.turns or sample.targets for sample in self.samples)
