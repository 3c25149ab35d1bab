import logging

from glamm.training.metrics import MetricsRecorder, read_metrics, write_metrics


def test_read_is_inverse_of_write_for_rows_with_other_columns(tmp_path):
    rows = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1e-9}, {"step": 2, "val_loss": 3.5}]

    write_metrics(tmp_path / "metrics.csv", rows)

    assert read_metrics(tmp_path / "metrics.csv") == rows
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_file_has_no_rows(tmp_path):
    assert read_metrics(tmp_path / "metrics.csv") == []


def test_resumed_recorder_drops_the_rows_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, [{"step": step, "loss": 1.0} for step in (1, 2, 3)])
    recorder = MetricsRecorder(path, run=None, max_steps=9, shows_training=False)

    recorder.resume(2)
    recorder.record_validation(2, {"val_loss": 4.0})

    assert [row["step"] for row in read_metrics(path)] == [1, 2, 2]
    assert recorder.last_metrics == {"loss": 1.0, "val_loss": 4.0}


def test_validation_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    recorder = MetricsRecorder(
        tmp_path / "metrics.csv", run=None, max_steps=9, shows_training=False
    )

    recorder.record_validation(2, {"val_loss": 4.0})

    assert caplog.messages == ["step 2: val_loss 4"]
