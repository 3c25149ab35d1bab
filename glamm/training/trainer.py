"""The Lightning trainer of `glamm train`.

The modules and data modules of this package train with any `lightning.Trainer`, with callbacks, loggers and strategies
of your own: see docs/how-to/train-with-lightning.md. `glamm train` uses Lightning's loop, validation, strategies,
precision, gradient accumulation and progress bar. Where it does not use Lightning's part, this is why:

| ours | instead of | because |
|---|---|---|
| checkpoints (`run_folder.py`) | `ModelCheckpoint` | written whole or not at all, with a checksum, after the validation of the same step, so that a resumed run has all rows in metrics.csv; a full disk does not damage the checkpoint before |
| `StopRequest` (`glamm/stop_request.py`) | the SIGTERM handler | it ends `fit` with exit code 0, and can lock up processes that are in the middle of a step; ours ends all of them after the same step, with a checkpoint |
| `RankProcesses` (`rank_launcher.py`) | the launcher of DDP | processes start before torch is loaded, and end with the first one |
| metrics.csv and `Run` (`metrics.py`) | `CSVLogger`, `WandbLogger` | losses are means over the passes and devices of a step, validation metrics are in double precision, a resumed run has each row once, and a tracker that fails does not end the run |
| `ThroughputMeter` (`throughput.py`) | `ThroughputMonitor` | batches differ in size; it measures the time spent waiting for data, and leaves out validation and checkpoints |
| the column `learning_rate` | `LearningRateMonitor` | it needs a logger |
"""

import sys
from collections.abc import Sequence

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import Logger

from glamm.config.training import TrainConfig
from glamm.training.run_folder import CheckpointFiles
from glamm.training.strategy import make_strategy


def build_trainer(
    config: TrainConfig, *, callbacks: Sequence[Callback], loggers: Sequence[Logger] = ()
) -> lightning.Trainer:
    """Build the trainer of a run.

    Args:
        config: Steps, devices, strategy, precision, and how often to validate.
        callbacks: In the order in which Lightning calls them.
        loggers: Get what the module logs.

    Raises:
        ConfigError: The phase cannot be trained with this strategy.
        HostError: A package or a GPU is missing.
    """
    has_bar = has_progress_bar()
    bar = [RichProgressBar(console_kwargs={"stderr": True})] if has_bar else []
    return lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=make_strategy(config),
        precision=config.precision,
        max_steps=config.max_steps,
        max_epochs=1,  # the data modules' epoch is the whole run
        accumulate_grad_batches=config.accumulate_grad_batches,
        gradient_clip_val=config.optimizer.max_grad_norm,
        callbacks=[*bar, *callbacks],
        logger=list(loggers),
        log_every_n_steps=config.log_steps,
        plugins=[CheckpointFiles()],
        # After every `interval` steps; `RunCallback` adds the last one.
        val_check_interval=config.validation.interval * config.accumulate_grad_batches,
        check_val_every_n_epoch=None,
        limit_val_batches=config.validation.num_batches,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=has_bar,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the data modules know the ranks
    )


def has_progress_bar() -> bool:
    """Whether progress is shown as a bar: on a terminal. Elsewhere it is lines in the log."""
    return sys.stderr.isatty()
