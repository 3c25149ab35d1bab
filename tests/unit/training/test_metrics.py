from glamm.training.metrics import read_metrics, write_metrics


def test_read_is_inverse_of_write_for_rows_with_other_columns(tmp_path):
    rows = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1e-9}, {"step": 2, "val_loss": 3.5}]

    write_metrics(tmp_path / "metrics.csv", rows)

    assert read_metrics(tmp_path / "metrics.csv") == rows
    assert len(list(tmp_path.iterdir())) == 1


def test_no_file_is_no_rows(tmp_path):
    assert read_metrics(tmp_path / "metrics.csv") == []
