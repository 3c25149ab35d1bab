"""What a run does between two steps: metrics, checkpoints, and stopping on a signal.

All of it is one callback, so that its order is the order of its lines.
"""

# ruff: noqa: ARG002 - the names of the arguments are Lightning's

import signal
from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from glamm.config.training import TrainConfig
from glamm.stop_request import StopRequest
from glamm.structures.batch import Batch
from glamm.text.tokenizer import Tokenizer
from glamm.tracking.runs import ImageWithMasks, Run
from glamm.training.base_module import PhaseModule
from glamm.training.finite import check_losses, check_weights
from glamm.training.joint import GLaMMModule
from glamm.training.metrics import MetricsRecorder
from glamm.training.run_folder import RunFolder
from glamm.training.throughput import ThroughputMeter, peak_memory_mib
from glamm.training.validation_images import draw_validation_images


class RunCallback(Callback):
    """Records metrics, saves checkpoints, and ends the run when a signal asks for it.

    Args:
        config: How often each of it is due.
        folder: Gets the checkpoints.
        recorder: Gets the metrics; only on the first process.
        stop: Receives the signals.
        tokenizer: Decodes the answers of validation images.
        run: Gets validation images; None if there is no tracker, as on processes other than the first.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        folder: RunFolder,
        recorder: MetricsRecorder,
        stop: StopRequest,
        tokenizer: Tokenizer,
        run: Run | None,
    ) -> None:
        self._config, self._folder, self._recorder = config, folder, recorder
        self._stop, self._tokenizer, self._run = stop, tokenizer, run
        self._step = 0  # the last one that has ended
        self._saved_step: int | None = None
        self._losses: list[dict[str, Tensor]] = []  # one entry per pass of the present step
        self._images: list[ImageWithMasks] = []
        self._throughput = ThroughputMeter(None, world_size=1)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Continue after the step of the checkpoint; from now on a signal waits for the end of a step."""
        self._step = trainer.global_step
        self._recorder.resume(self._step)
        self._stop.take_over_signals()
        self._stop.is_stepping = True
        model = pl_module.model if isinstance(pl_module, GLaMMModule) else None
        self._throughput = ThroughputMeter(model, world_size=trainer.world_size)
        self._throughput.request_batch()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Begin a pass."""
        self._throughput.begin_pass()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - what `training_step` returned
        batch: object,
        batch_idx: int,
    ) -> None:
        """End a pass, and the step if the optimizer has moved and no validation follows."""
        self._losses.append({name: value.detach() for name, value in outputs.items()})
        step = trainer.global_step
        is_end_of_step = step > self._step
        is_due = step % self._config.log_steps == 0 or step == trainer.max_steps
        is_logged = is_end_of_step and is_due
        # before the time is taken: it waits for the device
        losses = mean_losses(self._losses, trainer) if is_logged else {}
        self._throughput.end_pass(batch)
        if is_end_of_step:
            self._step, self._losses = step, []
            if is_logged and trainer.is_global_zero:
                self._record_training(trainer, losses)
            check_losses(losses, step=step)
            if step == trainer.max_steps:
                trainer.should_stop = True  # Lightning validates then, whatever the interval
            if not self._is_validation_due(trainer):
                self._end_step(trainer)
        self._throughput.request_batch()

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget the images of the last validation."""
        self._images = []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - what `validation_step` returned
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw images, until there are enough."""
        is_wanted = self._run and len(self._images) < self._config.validation.num_images
        if is_wanted and isinstance(batch, Batch):
            self._images += draw_validation_images(batch, outputs["mask_logits"], self._tokenizer)

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Record the validation, and end the step."""
        if trainer.sanity_checking or not isinstance(pl_module, PhaseModule):
            return
        if trainer.is_global_zero:
            values = {
                name: float(trainer.callback_metrics[name])
                for name in pl_module.validation_names
                if name in trainer.callback_metrics
            }
            self._recorder.record_validation(self._step, values)
        if self._run:
            num_images = self._config.validation.num_images
            self._run.log_images("validation", self._images[:num_images], self._step)
        self._end_step(trainer)
        self._throughput.request_batch()

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """From now on a signal ends the run at once: no step could end it."""
        self._stop.is_stepping = False

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """From now on a signal ends the run at once: no step could end it."""
        self._stop.is_stepping = False

    def _is_validation_due(self, trainer: lightning.Trainer) -> bool:
        """Whether Lightning validates after this step; see `glamm.training.trainer` for its side of it."""
        is_due = self._step % self._config.validation.interval == 0
        return (is_due or trainer.should_stop) and sum(trainer.num_val_batches) > 0

    def _record_training(self, trainer: lightning.Trainer, losses: Mapping[str, float]) -> None:
        values = {
            **losses,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **self._throughput.take(),
            "peak_memory_mib": peak_memory_mib(),
        }
        self._recorder.record_training(self._step, values)

    def _end_step(self, trainer: lightning.Trainer) -> None:
        """Save a checkpoint if it is due; save one and end the run if a process has received a signal.

        Raises:
            RunInterrupted: A process has received a signal.
            HostError: The checkpoint cannot be written.
            ConfigError: Training diverged: the weights are of no use.
        """
        if self._step == trainer.max_steps:
            self._check_weights(trainer)
            return
        if self._step % self._config.checkpoint_steps == 0:
            self._save_checkpoint(trainer)
        if self._is_stop_requested(trainer):
            self._save_checkpoint(trainer)
            raise self._stop.interruption(
                f"saved after step {self._step} of {trainer.max_steps}. The same command continues from there."
            )

    def _save_checkpoint(self, trainer: lightning.Trainer) -> None:
        if self._saved_step == self._step:
            return
        self._check_weights(trainer)
        self._saved_step = self._step
        with self._folder.writing(self._step) as path:
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._folder.commit(self._step)
        trainer.strategy.barrier("checkpoint")

    def _check_weights(self, trainer: lightning.Trainer) -> None:
        parameters = trainer.lightning_module.named_parameters()
        trained = ((name, value.detach()) for name, value in parameters if value.requires_grad)
        check_weights(trained, step=self._step, trainer=trainer)

    def _is_stop_requested(self, trainer: lightning.Trainer) -> bool:
        """Whether any process has received a signal; all processes get the same answer."""
        is_requested = self._stop.received is not None
        if trainer.world_size > 1:
            flag = torch.tensor(float(is_requested), device=trainer.strategy.root_device)
            is_requested = bool(trainer.strategy.reduce(flag, reduce_op="sum"))
        if is_requested and self._stop.received is None:
            self._stop.received = signal.SIGTERM  # of another process
        return is_requested


def mean_losses(
    losses: Sequence[Mapping[str, Tensor]], trainer: lightning.Trainer
) -> dict[str, float]:
    """Losses of a step by name, as means over its passes and over devices; every process calls it.

    Args:
        losses: What `training_step` returned in each pass, as Lightning passes it on: `loss` is already divided by the
            number of passes.
        trainer: Reduces over devices.
    """
    weights = {name: 1.0 if name == "loss" else 1 / len(losses) for name in losses[0]}
    sums = torch.stack(
        [
            weight * torch.stack([terms[name].float() for terms in losses]).sum()
            for name, weight in weights.items()
        ]
    )
    means = trainer.strategy.reduce(sums, reduce_op="mean")
    return dict(zip(weights, means.tolist(), strict=True))
