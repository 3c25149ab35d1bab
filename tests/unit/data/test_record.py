from glamm.data.record import Rejection


def test_report_is_one_line_whatever_the_file_says():
    rejection = Rejection(
        "a.json", "7", "'two\nlines \x1b[31m \ud800' is not in the caption", "caf\udce9"
    )

    line = str(rejection)

    assert line.encode()
    assert line == (
        "file a.json, record 7, field caf\\udce9: 'two\\nlines \\x1b[31m \\ud800' is not in the caption (left out)"
    )


def test_long_words_are_cut_in_the_middle():
    rejection = Rejection("a.json", "7", "'" + "long " * 20_000 + "' is not in the caption")

    assert len(str(rejection)) < 500
    assert rejection.reason.endswith("' is not in the caption")
