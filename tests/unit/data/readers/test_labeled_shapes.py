from tests.builders.own_data import areas_by_text, labelme_shape, labelme_shapes_root, read_records


def test_background_is_cut_out_of_the_shapes_before_it(tmp_path):
    root = labelme_shapes_root(
        tmp_path,
        labelme_shape("rectangle", [[0, 0], [20, 20]], label="ring"),
        labelme_shape("rectangle", [[5, 5], [15, 15]], label="_background_"),
        labelme_shape("rectangle", [[8, 8], [12, 12]], label="stone"),
        labelme_shape("rectangle", [[40, 40], [50, 50]], label="__ignore__"),
        labelme_shape("rectangle", [[60, 60], [62, 62]], label="nothing"),
        labelme_shape("rectangle", [[60, 60], [62, 62]], label="_background_"),
    )

    [record], [ignored, emptied] = read_records("labelme", root)

    assert areas_by_text(record.samples[0]) == {"ring": 300, "stone": 16}
    assert "field shapes[3].label: is no class (rectangle '__ignore__')" in ignored
    assert "field shapes: '_background_' cuts out all pixels of 'nothing'" in emptied
