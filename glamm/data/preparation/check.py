"""Checks a record: its samples are normalized and validated, and its image is decoded once."""

from dataclasses import dataclass, replace

from glamm.data.parsing.image_refs import read_encoded
from glamm.data.preparation.normalize import normalize_sample
from glamm.data.preparation.validate import find_object_issues, find_sample_issues
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.geometry.image_files import decode
from glamm.structures.issue import Issue, IssueKind, Location, Severity
from glamm.structures.sample import Sample


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record whose samples are valid.

    Args:
        record: Its samples are normalized; invalid objects, targets and samples are removed.
        image_bytes: The encoded image; it can be decoded.
        issues: The reasons of the removed parts.
    """

    record: Record
    image_bytes: bytes
    issues: tuple[Issue, ...] = ()


def check(record: Record) -> CheckedRecord | tuple[Issue, ...]:
    """Normalize and validate every sample of a record, and decode its image.

    Invalid objects are removed, and with them the targets and samples that refer to them.

    Returns:
        The record with its valid samples; or, if there are none, the issues, the last of which is about the record.
    """
    image = record.samples[0].image
    try:
        image_bytes = read_encoded(image)
        decode(image_bytes, size=image.size, frame=image.frame)
    except (OSError, ValueError, DataError) as error:
        reason = f"{image.key}: {getattr(error, 'strerror', None) or error}"
        return (_left_out(record, reason, "image"),)
    if not record.is_trainable:
        return CheckedRecord(record, image_bytes)
    normalized = [normalize_sample(sample) for sample in record.samples]
    valid: list[Sample] = []
    # all samples of a record have the same objects
    issues = list(dict.fromkeys(find_object_issues(normalized[0], record.location)))
    invalid_objects = {issue.location.field for issue in issues}
    for sample in normalized:
        objects = tuple(obj for obj in sample.objects if f"object {obj.id}" not in invalid_objects)
        kept, target_issues, sample_issues = _drop_invalid_targets(
            replace(sample, objects=objects), record.location
        )
        issues += [_of_sample(issue, sample) for issue in (*target_issues, *sample_issues[:1])]
        if not sample_issues:
            valid.append(kept)
    if not valid:
        return (*issues, _left_out(record, f"no sample is left: {issues[0].reason}"))
    return CheckedRecord(replace(record, samples=tuple(valid)), image_bytes, tuple(issues))


def _drop_invalid_targets(
    sample: Sample, location: Location
) -> tuple[Sample, list[Issue], list[Issue]]:
    """The sample with its valid targets, the issues of the other targets, and those that invalidate the sample."""
    issues = find_sample_issues(sample, location)
    invalid = {field for issue in issues if (field := _field(issue)).startswith("targets[")}
    targets = tuple(
        target for index, target in enumerate(sample.targets) if f"targets[{index}]" not in invalid
    )
    if not targets:
        return sample, [], issues
    of_targets = [issue for issue in issues if _field(issue) in invalid]
    others = [issue for issue in issues if _field(issue) not in invalid]
    return replace(sample, targets=targets), of_targets, others


def _field(issue: Issue) -> str:
    return issue.location.field or ""


def _of_sample(issue: Issue, sample: Sample) -> Issue:
    return replace(issue, reason=f"{issue.reason} (sample {sample.sample_id})")


def _left_out(record: Record, reason: str, field: str | None = None) -> Issue:
    location = replace(record.location, field=field)
    return Issue(location, Severity.RECORD, IssueKind.INVALID_RECORD, reason)
