"""What happens around the steps: stopping and checkpoints."""

# ruff: noqa: ARG002 - Lightning calls hooks with names

import signal
from collections.abc import Callable

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from glamm.training.run_folder import RunFolder
from glamm.training.signals import StopRequest


def ends_a_step(trainer: lightning.Trainer, batch_index: int) -> bool:
    """Whether the optimiser moves after this batch, where several make a step."""
    return (batch_index + 1) % trainer.accumulate_grad_batches == 0


class StopOnSignal(Callback):
    """Finishes the step, saves and ends when a person or the machine asks for it.

    Lightning's own answer to SIGTERM leaves `fit` with exit status 0, which a pipeline takes for success, and sends to
    the other processes from within the handler, which locks them up when that falls between two halves of a step. It
    is taken out. Here every process raises a flag, they agree on it after each step, and save together.

    Args:
        stop: The flag.
        save: Writes a checkpoint; called on every process.
    """

    def __init__(self, stop: StopRequest, save: Callable[[lightning.Trainer], None]) -> None:
        self._stop, self._save = stop, save

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """From now on a signal waits for the end of the step."""
        self._stop.listen_alone()
        self._stop.is_stepping = True

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """There is no next step that could see the flag."""
        self._stop.is_stepping = False

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Agree with the other processes whether to stop."""
        flag = torch.tensor(int(self._stop.received or 0), device=trainer.strategy.root_device)
        agreed = int(trainer.strategy.reduce(flag.float(), reduce_op="sum").item())
        if not agreed or not ends_a_step(trainer, batch_idx) or trainer.should_stop:
            return
        self._stop.received = self._stop.received or signal.SIGTERM
        if trainer.global_step < trainer.max_steps:
            self._save(trainer)
        trainer.should_stop = True


class KeepCheckpoints(Callback):
    """Saves every so many steps, whole or not at all.

    Args:
        folder: Where to.
        every_steps: How often.
    """

    def __init__(self, folder: RunFolder, *, every_steps: int) -> None:
        self._folder, self._every_steps = folder, every_steps
        self._saved_step: int | None = None

    def save(self, trainer: lightning.Trainer) -> None:
        """Write the state after the present step.

        Raises:
            HostError: It cannot be written; the one before it is still good.
        """
        step = trainer.global_step
        if step == self._saved_step:
            return
        self._saved_step = step
        with self._folder.writing(step) as path:
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._folder.commit(step)
        trainer.strategy.barrier("checkpoint")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save when it is time."""
        is_due = (
            trainer.global_step % self._every_steps == 0 and trainer.global_step < trainer.max_steps
        )
        if ends_a_step(trainer, batch_idx) and is_due:
            self.save(trainer)
