from dataclasses import replace

import pytest

from glamm.data.preparation.check import CheckedRecord, check
from glamm.data.record import Record
from glamm.structures.issue import Severity
from glamm.structures.sample import Target, Turn
from tests.builders.data import LOCATION, grounded, jpeg, referring


@pytest.fixture
def on_disk(tmp_path):
    """Write the image of a sample to a file, as if a reader had read it."""

    def put(sample):
        path = tmp_path / sample.image.key
        path.write_bytes(jpeg())
        return replace(sample, image=replace(sample.image, path=str(path), data=None))

    return put


def test_invalid_target_is_removed_and_the_others_stay(on_disk):
    sample = on_disk(referring())
    targets = (*sample.targets, Target(" ", sample.targets[0].object_ids), Target(" ", ()))

    checked = check(Record(LOCATION, (replace(sample, targets=targets),)))

    assert isinstance(checked, CheckedRecord)
    assert checked.record.samples[0].targets == sample.targets
    assert [issue.location.field for issue in checked.issues] == [
        f"targets[{len(sample.targets)}]",
        f"targets[{len(sample.targets) + 1}]",
    ]


def test_record_without_a_valid_target_is_left_out(on_disk):
    sample = on_disk(referring())

    issues = check(Record(LOCATION, (replace(sample, targets=(Target(" ", ()),)),)))

    assert isinstance(issues, tuple)
    assert issues[-1].severity is Severity.RECORD
    assert issues[-1].location == LOCATION


def test_invalid_object_is_one_issue_and_removed_from_all_samples(on_disk):
    sample = on_disk(grounded())
    thin = replace(sample.objects[2], box=(25.0, 0.0, 25.5, 4.0))
    text = sample.turns[1].text
    turns = (sample.turns[0], Turn("assistant", text, sample.turns[1].spans[:1]))
    first = replace(sample, objects=(*sample.objects[:2], thin), turns=turns)

    checked = check(Record(LOCATION, (first, replace(first, sample_id="second"))))

    assert isinstance(checked, CheckedRecord)
    assert [issue.location.field for issue in checked.issues] == [f"object {thin.id}"]
    assert [kept.objects for kept in checked.record.samples] == [sample.objects[:2]] * 2


def test_record_with_nothing_to_train_is_kept(on_disk):
    record = Record(LOCATION, (replace(on_disk(grounded()), turns=()),))

    checked = check(record)

    assert isinstance(checked, CheckedRecord)
    assert not checked.record.is_trainable
