"""One run, from parameters to a model folder; killed and started again, it goes on where it was."""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from glamm.checkpoints.store import save_model
from glamm.config.training import TrainConfig
from glamm.data.loading.datamodule import GLaMMDataModule, ResumableLoader
from glamm.data.shards.reader import ShardReader
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import merge_lora
from glamm.structures.manifest import MANIFEST_FILE, PrepareManifest
from glamm.text.tokenizer import Tokenizer
from glamm.tracking.lineage import gather_lineage
from glamm.tracking.runs import Run, start_run
from glamm.training.base_module import FirstBatches, StageModule
from glamm.training.callbacks import KeepCheckpoints, StopOnSignal
from glamm.training.global_encoder import GlobalEncoderModule, PatchBatches, read_vocabulary
from glamm.training.grounding import GroundingModule, PromptBatches
from glamm.training.initialization import Start, make_start
from glamm.training.joint import JointModule
from glamm.training.metrics import Metrics, peak_memory_mib
from glamm.training.rank_launcher import is_first_process
from glamm.training.run_folder import CheckpointFiles, RunFolder, fingerprint, unwritable
from glamm.training.signals import StopRequest
from glamm.training.strategy import gather_weights, is_sharded, make_strategy, whole_model
from glamm.training.validation import Validation

logger = logging.getLogger(__name__)

RUNS = Path(".runs") / "train"
METRICS_FILE = "metrics.csv"


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
        start: The model; says how large images are.
    """

    def __init__(self, shards: Path, config: TrainConfig, start: Start) -> None:
        super().__init__()
        self._shards, self._config, self._model_config = shards, config, start.model.config
        self.vocabulary = (
            read_vocabulary(ShardReader(shards / "train"))
            if config.phase == "global_encoder"
            else ()
        )

    def train_dataloader(self) -> ResumableLoader:
        """Every batch of the run by its number."""
        rank = self.trainer.global_rank if self.trainer else 0
        per_epoch = self._config.max_steps * self._config.accumulate_grad_batches
        batches = self._batches("train", rank=rank + 1)
        return ResumableLoader(
            batches, per_epoch=per_epoch, num_workers=self._config.loader.num_workers
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """A few batches of the validation split."""
        batches = FirstBatches(self._batches("val", rank=0), self._config.validation.num_batches)
        return DataLoader(batches, batch_size=None)

    def _batches(self, split: str, *, rank: int) -> PatchBatches | PromptBatches:
        reader = ShardReader(self._shards / split)
        encoders = self._model_config.global_encoder, self._model_config.grounding_encoder
        if self._config.phase == "grounding":
            return PromptBatches(reader, self._config, side=encoders[1].image_size, rank=rank)
        return PatchBatches(
            reader,
            self._config,
            vocabulary=self.vocabulary,
            side=encoders[0].image_size,
            grid_size=encoders[0].grid_size,
            rank=rank,
        )


def train(
    shards: Path, out: Path, config: TrainConfig, *, stop: StopRequest | None = None
) -> Mapping[str, float]:
    """Train a model and write its folder.

    For more than one device every process calls this, within `glamm.training.rank_launcher.OtherProcesses`.

    Args:
        shards: Written by `glamm data prepare`.
        out: The model folder; written at the end.
        config: Everything that the run depends on, besides the data.
        stop: Listens to signals; None leaves them to the caller.

    Returns:
        The last metrics; nothing on processes other than the first.

    Raises:
        DataError: The shards are missing or damaged.
        CheckpointError: What it starts from, or every checkpoint of the unfinished run, is damaged.
        HostError: A file cannot be written; the same call goes on from the last checkpoint.
        BusyError: Another process is at this very run.
        RunInterrupted: A signal ended it; the same call goes on from there.
    """
    stop = stop or StopRequest()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips and a banner a process
    checksums = PrepareManifest.load(shards / MANIFEST_FILE).checksums
    _make_folder(out)  # now: nobody wants to hear it after the last step
    lightning.seed_everything(config.seed, verbose=False)
    start = make_start(config)
    name = fingerprint(config, data=checksums, start=start.origin)
    folder = RunFolder(_make_folder(RUNS / f"{out.name}-{config.phase}-{name}"))
    parts = _build(shards, config, start)
    if not is_first_process():
        _fit(parts, config, folder, None, stop=stop, tokenizer=start.tokenizer)
        _trained_model(start, config)
        return {}
    values = {
        "config": config.model_dump(mode="json"),
        "data": checksums,
        "start": start.origin,
    }
    with folder.lock(), _tracked(folder, config, values) as run:
        metrics = _fit(parts, config, folder, run, stop=stop, tokenizer=start.tokenizer)
        metrics = {**metrics, "peak_memory_mib": peak_memory_mib()}
        model = _trained_model(start, config)
        _export(model, start, out, checksums=checksums, config=config, metrics=metrics, run=run)
        shutil.copyfile(folder.path / METRICS_FILE, out / METRICS_FILE)
    folder.remove()
    logger.info(
        "wrote %s: %d steps, peak memory %d MiB, W&B run %s",
        out,
        config.max_steps,
        metrics["peak_memory_mib"],
        run.folder,
    )
    return metrics


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _build(shards: Path, config: TrainConfig, start: Start) -> StageParts:
    if config.phase == "joint":
        data = GLaMMDataModule(
            shards,
            model_config=start.model.config,
            tokenizer=start.tokenizer,
            config=config.loader,
            seed=config.seed,
            steps_per_epoch=config.max_steps,
            accumulation=config.accumulate_grad_batches,
        )
        return StageParts(JointModule(start.model, config=config), data)
    data = StageData(shards, config, start)
    if config.phase == "grounding":
        return StageParts(GroundingModule(start.model, config=config), data)
    module = GlobalEncoderModule(start.model, vocabulary=data.vocabulary, config=config)
    return StageParts(module, data)


def _fit(
    parts: StageParts,
    config: TrainConfig,
    folder: RunFolder,
    run: Run | None,
    *,
    stop: StopRequest,
    tokenizer: Tokenizer,
) -> Mapping[str, float]:
    """Train to the last step, from the last good checkpoint if there is one."""
    resume_from = folder.last_good()
    if resume_from and run:
        logger.info("resuming from %s", resume_from)
    keeper = KeepCheckpoints(folder, every_steps=config.checkpoint_steps)
    metrics = Metrics(
        folder.path / METRICS_FILE, log=_logging_to(run), every_steps=config.log_steps
    )
    validation = Validation(config.validation, tokenizer=tokenizer, record=metrics.record, run=run)
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=make_strategy(config),
        precision=config.precision,
        max_steps=config.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=config.accumulate_grad_batches,
        gradient_clip_val=config.optimizer.max_grad_norm,
        callbacks=[metrics, validation, keeper, StopOnSignal(stop, keeper.save)],
        plugins=[CheckpointFiles()],
        limit_val_batches=0,  # `Validation` looks at exactly the images that it is told to
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(
                parts.module, datamodule=parts.data, ckpt_path=resume_from, weights_only=True
            )
    except SystemExit:  # what Lightning makes of the second Ctrl-C
        raise stop.interruption(
            f"ended in the middle of step {trainer.global_step + 1} of {config.max_steps}. "
            "The same command goes on from the last checkpoint."
        ) from None
    if stop.received and trainer.global_step < config.max_steps:
        raise stop.interruption(
            f"saved after step {trainer.global_step} of {config.max_steps}. "
            "The same command goes on from there."
        )
    return {name: value for row in metrics.rows for name, value in row.items() if name != "step"}


@contextmanager
def _tracked(folder: RunFolder, config: TrainConfig, values: Mapping[str, Any]) -> Iterator[Run]:
    """Record a run; one that goes on keeps its name."""
    remembered = folder.path / "wandb-run-id"
    resume_id = remembered.read_text() if remembered.is_file() else None
    run = start_run(name=f"train-{config.phase}", job="train", config=values, resume_id=resume_id)
    is_failed = True
    try:
        remembered.write_text(run.id)
        yield run
        is_failed = False
    finally:
        run.finish(is_failed=is_failed)


def _logging_to(run: Run | None) -> Callable[[Mapping[str, float], int], None]:
    return run.log if run else lambda _metrics, _step: None


def _trained_model(start: Start, config: TrainConfig) -> GLaMM:
    """The model with all its weights; every process must ask for it, and only the first may use it."""
    if not is_sharded(start.model):
        return start.model
    weights = gather_weights(start.model)
    return whole_model(start.model.config, config, weights) if weights else start.model


def _export(
    model: GLaMM,
    start: Start,
    out: Path,
    *,
    checksums: Mapping[str, str],
    config: TrainConfig,
    metrics: Mapping[str, float],
    run: Run,
) -> None:
    lineage = gather_lineage(
        data=checksums,
        start=start.origin,
        parameters=config.model_dump(mode="json"),
        run_id=run.id,
        metrics=metrics,
    )
    merge_lora(model.language_model)
    save_model(model, out, tokenizer_model=start.tokenizer.model, lineage=lineage)
    run.summarize(metrics)
    run.log_manifest(out.name, "model", lineage.as_json())
