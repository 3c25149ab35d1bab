from glamm.geometry.palette import color_of, hex_color


def test_colors_do_not_repeat():
    assert len({color_of(index) for index in range(60)}) == 60


def test_color_of_an_index_never_changes():
    assert [hex_color(color_of(index)) for index in (0, 1, 11, 12)] == [
        "#e64b35",
        "#2684d6",
        "#a56946",
        "#36d987",
    ]
