from glamm.structures.issue import Issue, IssueKind, IssueLog, Location, Severity


def test_report_is_one_line_whatever_the_file_contains():
    reason = "'two\nlines \x1b[31m \ud800' is not in the caption"

    line = str(Issue.of_record("a.json", "7", reason, "caf\udce9"))

    assert line.encode()
    assert line == (
        "file a.json, record 7, field caf\\udce9: 'two\\nlines \\x1b[31m \\ud800' is not in the caption (left out)"
    )


def test_long_text_is_cut_in_the_middle():
    issue = Issue.of_record("a.json", "7", "'" + "long " * 20_000 + "' is not in the caption")

    assert len(str(issue)) < 500
    assert issue.reason.endswith("' is not in the caption")


def test_log_keeps_issues_in_order_with_their_location():
    log = IssueLog("a.json", "7")

    log.add("has no area", "objects[1].bbox")
    log.add("is missing", "caption", severity=Severity.RECORD)
    log.add("holds nothing to train", kind=IssueKind.NOTHING_TO_TRAIN)

    assert [issue.location for issue in log] == [
        Location("a.json", "7", "objects[1].bbox"),
        Location("a.json", "7", "caption"),
        Location("a.json", "7"),
    ]
    assert [issue.kind for issue in log] == [
        IssueKind.INVALID_PART,
        IssueKind.INVALID_RECORD,
        IssueKind.NOTHING_TO_TRAIN,
    ]
    assert "left out in part" in str(log.issues[0])


def test_assumption_is_no_loss():
    issue = Issue.of_assumption("a.json", "all", "names no split and is read as train")

    assert not issue.is_loss
    assert str(issue) == ("file a.json, record all: names no split and is read as train (assumed)")
