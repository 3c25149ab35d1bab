from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Severity
from tests.builders.data import LOCATION, grounded


def test_issues_of_parts_precede_their_record():
    record = Record(LOCATION, (grounded(),))

    def read(issues):
        issues.add("has no area", "objects[0].bbox")
        return record

    issue, result = read_record(LOCATION, read)

    assert (issue.location.record, issue.severity) == (LOCATION.record, Severity.PART)
    assert result is record


def test_error_is_the_issue_that_leaves_the_record_out():
    def read(issues):
        issues.add("has no area", "objects[0].bbox")
        raise DataError("is missing", field="caption")

    issues = list(read_record(LOCATION, read))

    assert [issue.severity for issue in issues] == [Severity.PART, Severity.RECORD]
    assert (issues[1].location.field, issues[1].reason) == ("caption", "is missing")
