"""From what a reader yields to what may be trained: settled, validated, its image decoded once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from glamm.data.preparation.normalize import settle
from glamm.data.preparation.validate import Fault, find_faults
from glamm.data.record import Record, Rejection
from glamm.geometry.image_files import decode
from glamm.structures.sample import Sample


@dataclass(frozen=True, slots=True)
class Checked:
    """A record that may be trained.

    Args:
        record: Its samples are settled and without fault.
        image: The encoded image, known to decode.
        rejections: What was wrong with parts of it.
    """

    record: Record
    image_bytes: bytes
    rejections: tuple[Rejection, ...] = ()


def check(record: Record) -> Checked | tuple[Rejection, ...]:
    """Settle and validate every sample of a record and decode its image.

    Objects with a fault go, and with them the samples that mean them.

    Returns:
        The record with the samples that are good, or why nothing is left of it.
    """
    image = record.samples[0].image
    try:
        image_bytes = Path(image.path or "").read_bytes()
        decode(image_bytes, size=image.size)
    except (OSError, ValueError) as error:
        reason = f"{image.key}: {getattr(error, 'strerror', None) or error}"
        return (Rejection(record.file, _name(record), reason, "image", place=record.place),)
    if not record.teaches:
        return Checked(record, image_bytes)
    settled = [settle(sample) for sample in record.samples]
    good: list[Sample] = []
    rejections: list[Rejection] = []
    bad_objects = list(dict.fromkeys(_object_faults(settled)))
    bad_ids = {fault.field for fault in bad_objects}
    for sample in settled:
        kept = replace(
            sample,
            objects=tuple(obj for obj in sample.objects if f"object {obj.id}" not in bad_ids),
        )
        kept, target_faults, faults = _without_bad_targets(kept)
        rejections += [_reject(record, fault, sample.sample_id) for fault in target_faults]
        if faults:
            rejections.append(_reject(record, faults[0], sample.sample_id))
        else:
            good.append(kept)
    rejections = [_reject(record, fault, None) for fault in bad_objects] + rejections
    if not good:
        reason = rejections[0].reason
        whole = Rejection(
            record.file, _name(record), f"no sample is left: {reason}", place=record.place
        )
        return (*rejections, whole)
    return Checked(replace(record, samples=tuple(good)), image_bytes, tuple(rejections))


def _without_bad_targets(sample: Sample) -> tuple[Sample, list[Fault], list[Fault]]:
    """The sample with the targets that are good, what is wrong with the others, and what spoils all of it."""
    faults = find_faults(sample)
    bad = {fault.field for fault in faults if fault.field.startswith("targets[")}
    targets = tuple(
        target for index, target in enumerate(sample.targets) if f"targets[{index}]" not in bad
    )
    if not targets:
        return sample, [], faults
    others = [fault for fault in faults if fault.field not in bad]
    return replace(sample, targets=targets), [f for f in faults if f.field in bad], others


def _object_faults(samples: list[Sample]) -> Iterator[Fault]:
    """Faults of objects; the samples of a record share them, so the first tells all."""
    return (fault for fault in find_faults(samples[0]) if fault.field.startswith("object "))


def _reject(record: Record, fault: Fault, sample_id: str | None) -> Rejection:
    reason = f"{fault.reason} (sample {sample_id})" if sample_id else fault.reason
    return Rejection(
        record.file, _name(record), reason, fault.field, is_whole=False, place=record.place
    )


def _name(record: Record) -> str:
    """How a record is called inside its file."""
    return record.place.rpartition("#")[2].removeprefix(record.file) or record.samples[0].image.key
