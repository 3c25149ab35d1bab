import pytest

from glamm.cli.progress import progress_bar


def work(progress):
    progress.describe("reading")
    progress.begin(3_000_000)
    progress.advance(1_000_000)


def test_nothing_is_printed_where_no_bar_can_be_drawn(capsys):
    with progress_bar(counts_bytes=True) as progress:
        work(progress)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("counts_bytes", "shown"),
    [(True, "1.0/3.0 MB"), (False, "1000000/3000000")],
    ids=["bytes", "images"],
)
def test_activity_and_count_are_shown_on_a_terminal(capsys, monkeypatch, counts_bytes, shown):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich draws as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    with progress_bar(counts_bytes=counts_bytes) as progress:
        work(progress)

    out, err = capsys.readouterr()
    assert not out
    assert "reading" in err
    assert shown in err
