import sys

import pytest
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from glamm.training.trainer import build_trainer
from tests.builders.training import train_config


def test_trainer_has_the_callbacks_and_loggers_of_the_caller(tmp_path):
    callback, logger = Callback(), CSVLogger(tmp_path)

    trainer = build_trainer(train_config(), callbacks=[callback], loggers=[logger])

    assert callback in trainer.callbacks
    assert trainer.loggers == [logger]


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_progress_bar_is_for_terminals(monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)

    trainer = build_trainer(train_config(), callbacks=[])

    bars = [bar for bar in trainer.callbacks if isinstance(bar, RichProgressBar)]
    assert len(bars) == is_terminal
