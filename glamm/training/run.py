"""A training run, from shards to a model folder; a killed run continues from its last checkpoint."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from glamm.checkpoints.store import save_model
from glamm.config.training import TrainConfig
from glamm.models.glamm import GLaMM
from glamm.models.language.lora import merge_lora
from glamm.stop_request import StopRequest
from glamm.structures.manifest import MANIFEST_FILE, PrepareManifest
from glamm.tracking.lineage import gather_lineage
from glamm.tracking.runs import Run, start_run
from glamm.training.finite import finite_metrics
from glamm.training.initialization import Initialization, initialize_model
from glamm.training.metrics import METRICS_FILE, MetricsRecorder
from glamm.training.objective import Objective, build_objective
from glamm.training.rank_launcher import is_first_process
from glamm.training.run_callback import RunCallback
from glamm.training.run_folder import RunFolder, fingerprint, write_error
from glamm.training.strategy import build_from_weights, gather_weights, is_sharded
from glamm.training.throughput import peak_memory_mib
from glamm.training.trainer import build_trainer, has_progress_bar

logger = logging.getLogger(__name__)

RUNS = Path(".runs") / "train"
_RUN_ID_FILE = "wandb-run-id"


def train(
    shards: Path,
    out: Path,
    config: TrainConfig,
    *,
    stop: StopRequest | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> Mapping[str, float]:
    """Train a model and write its folder.

    For more than one device every process calls this, inside `glamm.training.rank_launcher.RankProcesses` or started
    by torchrun.

    Args:
        shards: Folder that `glamm data prepare` wrote.
        out: The model folder; written at the end.
        config: Everything that the weights depend on, besides the data.
        stop: Listens to signals; by default they are left to the caller.
        callbacks: Further Lightning callbacks.
        loggers: Lightning loggers; they get what the modules log with `self.log`.

    Returns:
        The last value of every metric; empty on processes other than the first.

    Raises:
        DataError: The shards are missing or damaged.
        CheckpointError: The model that it starts from is damaged, or all checkpoints of the unfinished run are.
        HostError: A file cannot be written; the same call continues from the last checkpoint.
        BusyError: Another process runs the same run.
        RunInterrupted: A signal ended it; the same call continues from the checkpoint.
    """
    stop = stop or StopRequest()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips, and a banner per process
    checksums = PrepareManifest.load(shards / MANIFEST_FILE).checksums
    _make_folder(out)  # an error here is better than after the last step
    lightning.seed_everything(config.seed, verbose=False)
    initialization = initialize_model(config)
    name = fingerprint(config, data=checksums, start=initialization.checksum)
    folder = RunFolder(_make_folder(RUNS / f"{out.name}-{config.phase}-{name}"))
    objective = build_objective(shards, config, initialization)
    extras = (callbacks, loggers)
    if not is_first_process():
        _fit(objective, config, folder, None, stop, initialization, *extras)
        _whole_model(initialization.model, config)
        return {}
    values = {
        "config": config.model_dump(mode="json"),
        "data": checksums,
        "start": initialization.checksum,
    }
    with folder.lock(), _tracked(folder, config, values) as run:
        metrics = _fit(objective, config, folder, run, stop, initialization, *extras)
        metrics = {**metrics, "peak_memory_mib": peak_memory_mib()}
        model = _whole_model(initialization.model, config)
        _export(model, initialization, out, data=checksums, config=config, metrics=metrics, run=run)
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
        raise write_error(path, error) from error
    return path


def _fit(
    objective: Objective,
    config: TrainConfig,
    folder: RunFolder,
    run: Run | None,
    stop: StopRequest,
    initialization: Initialization,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> Mapping[str, float]:
    """Train to the last step, from the last good checkpoint if there is one."""
    resume_from = folder.last_good()
    if resume_from and run:
        logger.info("resuming from %s", resume_from)
    recorder = MetricsRecorder(
        folder.path / METRICS_FILE,
        run=run,
        max_steps=config.max_steps,
        shows_training=not has_progress_bar(),
    )
    run_callback = RunCallback(
        config,
        folder=folder,
        recorder=recorder,
        stop=stop,
        tokenizer=initialization.tokenizer,
        run=run,
    )
    trainer = build_trainer(config, callbacks=[run_callback, *callbacks], loggers=loggers)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(
                objective.module,
                datamodule=objective.data,
                ckpt_path=resume_from,
                weights_only=True,
            )
    except SystemExit:  # Lightning's answer to the KeyboardInterrupt of a second signal
        raise stop.interruption(
            f"ended in the middle of step {trainer.global_step + 1} of {config.max_steps}. "
            "The same command continues from the last checkpoint."
        ) from None
    return recorder.last_metrics


@contextmanager
def _tracked(folder: RunFolder, config: TrainConfig, values: Mapping[str, Any]) -> Iterator[Run]:
    """Record a run in Weights & Biases; a resumed run keeps its id."""
    id_file = folder.path / _RUN_ID_FILE
    resume_id = id_file.read_text() if id_file.is_file() else None
    run = start_run(name=f"train-{config.phase}", job="train", config=values, resume_id=resume_id)
    is_failed = True
    try:
        id_file.write_text(run.id)
        yield run
        is_failed = False
    finally:
        run.finish(is_failed=is_failed)


def _whole_model(model: GLaMM, config: TrainConfig) -> GLaMM:
    """The model with all its weights on the first process; every process calls it, only the first uses the result."""
    if not is_sharded(model):
        return model
    weights = gather_weights(model)
    return build_from_weights(model.config, config, weights) if weights else model


def _export(
    model: GLaMM,
    initialization: Initialization,
    out: Path,
    *,
    data: Mapping[str, str],
    config: TrainConfig,
    metrics: Mapping[str, float],
    run: Run,
) -> None:
    lineage = gather_lineage(
        data=data,
        start=initialization.checksum,
        parameters=config.model_dump(mode="json"),
        run_id=run.id,
        metrics=finite_metrics(metrics),
    )
    merge_lora(model.language_model)
    for parameter in model.parameters():  # trained weights are float32, also beside 16-bit ones
        parameter.data = parameter.data.to(initialization.dtype)
    save_model(model, out, tokenizer_model=initialization.tokenizer.model, lineage=lineage)
    run.summarize(metrics)
    run.log_manifest(out.name, "model", lineage.as_json())
