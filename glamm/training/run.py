"""One run, from parameters to a model folder; killed and started again, it goes on where it was."""

import json
import logging
import os
import shutil
import signal
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch.utils.data import DataLoader

from glamm.checkpoints.store import save_model
from glamm.config.training import TrainConfig
from glamm.data.datamodule import GLaMMDataModule, StepLoader
from glamm.data.shards import ShardReader
from glamm.errors import InterruptedRun
from glamm.text.tokenizer import Tokenizer
from glamm.tracking.lineage import gather_lineage, shard_checksums
from glamm.tracking.runs import Run, start_run
from glamm.training.callbacks import KeepCheckpoints, Metrics, StopOnSignal
from glamm.training.global_encoder import GlobalEncoderModule, PatchBatches, read_vocabulary
from glamm.training.grounding import GroundingModule, PromptBatches
from glamm.training.joint import JointModule
from glamm.training.run_folder import RunFolder, fingerprint
from glamm.training.stage import FirstBatches, StageModule
from glamm.training.start import Start, make_start
from glamm.training.validation import Validation

logger = logging.getLogger(__name__)

RUNS = Path(".runs") / "train"
METRICS_FILE = "metrics.csv"

_EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True, slots=True)
class StageParts:
    """What a stage trains, on what.

    Args:
        module: With loss, validation and optimiser.
        data: Gives train and validation batches.
    """

    module: StageModule
    data: lightning.LightningDataModule


class StageData(lightning.LightningDataModule):
    """Batches of the two stages that need no words.

    Args:
        shards: Prepared data.
        config: Of the run.
        start: The model; says how large pictures are.
    """

    def __init__(self, shards: Path, config: TrainConfig, start: Start) -> None:
        super().__init__()
        self._shards, self._config, self._model_config = shards, config, start.model.config
        self.vocabulary = (
            read_vocabulary(ShardReader(shards / "train"))
            if config.stage == "global_encoder"
            else ()
        )

    def train_dataloader(self) -> StepLoader:
        """Every batch of the run by its number."""
        trainer = self.trainer
        world_size, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        per_epoch = self._config.max_steps * self._config.accumulate
        batches = self._batches("train", rank=rank + 1)
        return StepLoader(batches, per_epoch=per_epoch, num_workers=self._config.loader.num_workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """A few batches of the validation split."""
        batches = FirstBatches(self._batches("val", rank=0), self._config.validation.num_batches)
        return DataLoader(batches, batch_size=None)

    def _batches(self, split: str, *, rank: int) -> PatchBatches | PromptBatches:
        reader = ShardReader(self._shards / split)
        encoders = self._model_config.global_encoder, self._model_config.grounding_encoder
        if self._config.stage == "grounding":
            return PromptBatches(reader, self._config, side=encoders[1].image_size, rank=rank)
        return PatchBatches(
            reader,
            self._config,
            vocabulary=self.vocabulary,
            side=encoders[0].image_size,
            grid_size=encoders[0].grid_size,
            rank=rank,
        )


def train(shards: Path, out: Path, config: TrainConfig) -> Mapping[str, float]:
    """Train a model and write its folder.

    Args:
        shards: Written by `glamm data prepare`.
        out: The model folder; written at the end.
        config: Everything that the run depends on, besides the data.

    Returns:
        The last metrics.

    Raises:
        DataError: The shards are missing or damaged.
        CheckpointError: What it starts from, or every checkpoint of the unfinished run, is damaged.
        InterruptedRun: A signal ended it; the same call goes on from there.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips and a banner a process
    checksums = shard_checksums(shards)
    lightning.seed_everything(config.seed, verbose=False)
    start = make_start(config)
    values = {"config": config.model_dump(mode="json"), "data": checksums, "start": start.origin}
    folder = RunFolder(RUNS / f"{out.name}-{config.stage}-{fingerprint(values)}")
    parts = _build(shards, config, start)
    resume_from = folder.last_good()
    run = _start_tracking(folder, config, values) if _is_first_process() else None
    try:
        metrics = _fit(
            parts, config, folder, run, resume_from=resume_from, tokenizer=start.tokenizer
        )
    except BaseException:
        if run:
            run.finish(is_failed=True)
        raise
    if run:
        _export(start, out, shards=shards, config=config, metrics=metrics, run=run)
        shutil.copyfile(folder.path / METRICS_FILE, out / METRICS_FILE)
        folder.remove()
    return metrics


def _build(shards: Path, config: TrainConfig, start: Start) -> StageParts:
    if config.stage == "joint":
        data = GLaMMDataModule(
            shards,
            model_config=start.model.config,
            tokenizer=start.tokenizer,
            config=config.loader,
            seed=config.seed,
            steps_per_epoch=config.max_steps,
            accumulation=config.accumulate,
        )
        return StageParts(JointModule(start.model, config=config), data)
    data = StageData(shards, config, start)
    if config.stage == "grounding":
        return StageParts(GroundingModule(start.model, config=config), data)
    module = GlobalEncoderModule(start.model, vocabulary=data.vocabulary, config=config)
    return StageParts(module, data)


def _fit(  # noqa: PLR0913 - what a fit depends on
    parts: StageParts,
    config: TrainConfig,
    folder: RunFolder,
    run: Run | None,
    *,
    resume_from: Path | None,
    tokenizer: Tokenizer,
) -> Mapping[str, float]:
    keeper = KeepCheckpoints(folder, every_steps=config.checkpoint_steps)
    stopper = StopOnSignal(keeper.save)
    metrics = Metrics(
        folder.path / METRICS_FILE, log=_logging_to(run), every_steps=config.log_steps
    )
    validation = Validation(config.validation, tokenizer=tokenizer, record=metrics.record, run=run)
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        strategy=_strategy(config.devices),
        precision=config.precision,
        max_steps=config.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.optimizer.clip_norm,
        callbacks=[metrics, validation, keeper, stopper],
        limit_val_batches=0,  # `Validation` looks at exactly the pictures that it is told to
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if resume_from and run:
        logger.info("resuming from %s", resume_from)
    stopper.install()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(
                parts.module, datamodule=parts.data, ckpt_path=resume_from, weights_only=False
            )
    finally:
        stopper.uninstall()
    if stopper.received and trainer.global_step < config.max_steps:
        raise _interrupted(stopper.received, trainer.global_step, config.max_steps)
    return {name: value for row in metrics.rows for name, value in row.items() if name != "step"}


def _interrupted(received: signal.Signals, step: int, total: int) -> InterruptedRun:
    error = InterruptedRun(
        f"{received.name} after step {step} of {total}; saved. The same command goes on from there."
    )
    error.exit_code = _EXIT_CODES.get(received, 1)
    return error


def _strategy(devices: int) -> Strategy | str:
    if torch.cuda.is_available():
        return "ddp_find_unused_parameters_true" if devices > 1 else "auto"
    if devices == 1:
        return SingleDeviceStrategy(device="cpu")
    return DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)


def _start_tracking(folder: RunFolder, config: TrainConfig, values: Mapping[str, Any]) -> Run:
    remembered = folder.path / "wandb-run-id"
    resume_id = remembered.read_text() if remembered.is_file() else None
    run = start_run(name=f"train-{config.stage}", job="train", config=values, resume_id=resume_id)
    remembered.write_text(run.id)
    return run


def _logging_to(run: Run | None) -> Any:  # noqa: ANN401 - a callback
    return (lambda metrics, step: run.log(metrics, step)) if run else (lambda _metrics, _step: None)


def _is_first_process() -> bool:
    """Lightning starts the other processes with LOCAL_RANK set."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _export(
    start: Start,
    out: Path,
    *,
    shards: Path,
    config: TrainConfig,
    metrics: Mapping[str, float],
    run: Run,
) -> None:
    lineage = gather_lineage(
        shards=shards,
        start=start.origin,
        parameters=config.model_dump(mode="json"),
        run_id=run.id,
        metrics=metrics,
    ).to_json()
    save_model(start.model, out, tokenizer_model=start.tokenizer.model, lineage=lineage)
    run.summarise(metrics)
    run.log_manifest(out.name, "model", json.loads(json.dumps(lineage)))
    run.finish()
    logger.info("wrote %s (W&B run %s)", out, run.folder)
