"""Whole runs in this process: what is validated, recorded and refused."""

import csv
import shutil
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger

from glamm.checkpoints.store import load_model
from glamm.data.loading.collate import SamplePreprocessor, collate
from glamm.data.shards.reader import ShardReader
from glamm.errors import CheckpointError, ConfigError, DataError, HostError
from glamm.structures.manifest import MANIFEST_FILE
from glamm.structures.sample import Task, Turn
from glamm.text.tokenizer import embedded_tokenizer
from glamm.training.initialization import initialize_model
from glamm.training.metrics import read_metrics
from glamm.training.run import train
from tests.builders.data import ShardWriter, caption, jpeg, prepare_manifest, referring, regions
from tests.builders.training import save_micro, train_config
from tests.builders.wandb_record import read_run

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, and no Weights & Biases account."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.timeout(180)
def test_validation_happens_at_its_interval_and_at_the_end(shards, micro, here):
    validation = {"interval": 2, "num_batches": 2, "num_images": 3}
    config = train_config(
        init_from=str(micro), max_steps=5, accumulate_grad_batches=2, validation=validation
    )

    last = train(shards, here / "out", config)

    rows = read_metrics(here / "out/metrics.csv")
    validations = [row for row in rows if "val_giou" in row]
    assert [row["step"] for row in validations] == [2, 4, 5]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5]
    first = rows[0]
    assert 0 <= first["padding_share"] < 1
    assert first["teraflops_per_second"] > 0
    assert first["peak_memory_mib"] > 100
    assert last["val_giou"] == validations[-1]["val_giou"]
    (record,) = (here / ".runs/wandb/wandb").glob("offline-run-*")
    run = read_run(record)
    assert [row["_step"] for row in run.history if "validation/nrows" in row] == [2, 4, 5]
    assert [row["val_giou"] for row in run.history if "val_giou" in row] == [
        row["val_giou"] for row in validations
    ]
    assert {artifact.kind for artifact in run.artifacts} == {"run_table", "model"}
    assert run.exit_code == 0


@pytest.mark.timeout(180)
def test_encoders_trained_alone_initialize_the_joint_phase(shards, micro, here):
    for phase in ("global_encoder", "grounding"):
        config = train_config(init_from=str(micro), phase=phase, max_steps=2)
        train(shards, here / phase, config)

    initial = initialize_model(
        train_config(
            init_from=str(here / "global_encoder"), init_grounding_from=str(here / "grounding")
        )
    )
    untrained = initialize_model(train_config(init_from=str(micro)))

    changed = {
        name.split(".")[0]
        for name, value in initial.model.state_dict().items()
        if not value.equal(untrained.model.state_dict()[name])
    }
    assert {"global_encoder", "grounding_encoder", "mask_decoder"} <= changed
    assert "language_model" not in changed


def test_grounding_parts_of_another_size_are_refused(micro, tmp_path):
    wider = save_micro(tmp_path / "wider", grounding_hidden_size=48)

    with pytest.raises(CheckpointError, match="grounding_encoder: tensors do not fit"):
        initialize_model(train_config(init_from=str(micro), init_grounding_from=str(wider)))


@pytest.mark.timeout(180)
def test_callbacks_and_loggers_of_the_caller_are_used(shards, micro, here):
    class CountSteps(Callback):
        num_steps = 0

        def on_train_batch_end(self, *_):
            self.num_steps += 1

    counter, logger = CountSteps(), CSVLogger("logs", name=None, version=0)
    config = train_config(init_from=str(micro), max_steps=3)

    train(shards, here / "out", config, callbacks=[counter], loggers=[logger])

    assert counter.num_steps == 3
    with (here / "logs/version_0/metrics.csv").open(newline="") as file:
        logged = list(csv.DictReader(file))
    ours = read_metrics(here / "out/metrics.csv")
    losses = [float(row["loss"]) for row in logged if row["loss"]]
    assert losses == pytest.approx([row["loss"] for row in ours if "loss" in row])
    (val_loss,) = [float(row["val_loss"]) for row in logged if row["val_loss"]]
    assert val_loss == pytest.approx(ours[-1]["val_loss"])


def test_run_without_shards_is_refused_before_anything_is_written(micro, here):
    with pytest.raises(DataError, match="run glamm data prepare"):
        train(here / "nowhere", here / "out", train_config(init_from=str(micro)))

    assert not list(here.iterdir())


def test_output_folder_that_cannot_be_made_is_refused_before_the_first_step(shards, micro, here):
    (here / "file").touch()

    with pytest.raises(HostError, match="file/out: cannot be written"):
        train(shards, here / "file/out", train_config(init_from=str(micro)))


@pytest.mark.timeout(180)
def test_error_of_damaged_checkpoints_names_the_folder_to_delete(shards, micro, here):
    config = train_config(init_from=str(micro), max_steps=3, checkpoint_steps=2)
    copy = here / "copy"
    with pytest.MonkeyPatch.context() as patch:
        # the folder of a finished run goes; keep what a killed one leaves
        patch.setattr(
            "glamm.training.run.RunFolder.remove", lambda run: shutil.copytree(run.path, copy)
        )
        train(shards, here / "out", config)
    (left,) = (here / ".runs/train").iterdir()
    for path in left.glob("step=*.ckpt"):
        path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"\.runs/train/out-joint.*Delete the folder"):
        train(shards, here / "out", config)


def write_split(folder, seeds, *, task):
    """A split with one sample of a task about each image."""
    writer = ShardWriter(folder, shard_bytes=1 << 20)
    for seed in seeds:
        sample = replace(SAMPLES.get(task, referring)(seed=seed), task=task)
        writer.add((sample,), jpeg(seed=seed))
    writer.close()


def write_own_shards(folder, *, task, num_train=3, num_val=0):
    write_split(folder / "train", range(num_train), task=task)
    write_split(folder / "val", range(20, 20 + num_val), task=task)
    prepare_manifest({"train/chunk-0-000000.bin": "0"}).save(folder / MANIFEST_FILE)
    return folder


def vqa(*, seed):
    turns = (Turn("user", "How many things?"), Turn("assistant", "Three."))
    return replace(caption(seed=seed), turns=turns)


SAMPLES = {Task.VQA: vqa, Task.IMAGE_CAPTIONING: caption, Task.REGION_CAPTIONING: regions}
SEGMENTATION = (Task.REFERRING_SEGMENTATION, Task.SEMANTIC_SEGMENTATION)


@pytest.mark.parametrize("max_steps", [1, 3], ids=["one_step", "three_steps"])
def test_run_shorter_than_log_steps_has_metrics_of_its_last_step(micro, here, max_steps):
    data = write_own_shards(here / "own", task=Task.REFERRING_SEGMENTATION, num_train=1)
    config = train_config(init_from=str(micro), max_steps=max_steps, log_steps=10)

    last = train(data, here / "out", config)

    [row] = read_metrics(here / "out/metrics.csv")
    assert row["step"] == max_steps
    assert last["loss"] == row["loss"]


@pytest.mark.parametrize("task", SEGMENTATION, ids=[task.value for task in SEGMENTATION])
def test_segmentation_is_validated_with_giou_and_ciou(micro, here, task):
    data = write_own_shards(here / "own", task=task, num_val=3)
    validation = {"num_batches": 50, "num_images": 2, "interval": 1000}
    config = train_config(init_from=str(micro), max_steps=1, validation=validation)

    last = train(data, here / "out", config)

    names = {name for name in last if name.startswith("val_")}
    kinds = ("loss", "ce_loss", "giou", "ciou")
    assert names == {f"val_{task.value}_{kind}" for kind in kinds}
    model, _ = load_model(here / "out")
    assert last[f"val_{task.value}_giou"] == pytest.approx(mean_iou(model, data), abs=1e-6)


def mean_iou(model, data):
    """gIoU over the val split, from the model's masks."""
    preprocessor = SamplePreprocessor(
        model_config=model.config, tokenizer=embedded_tokenizer(), seed=0, flip_probability=0.0
    )
    ious = []
    for samples in ShardReader(data / "val"):
        batch = collate([preprocessor.preprocess(samples, epoch=0)], pad_id=0)
        with torch.no_grad():
            [logits] = model(batch).mask_logits
        for predicted, target in zip(logits.numpy() > 0, batch.masks[0].numpy(), strict=True):
            union = (predicted | target).sum()
            ious.append((predicted & target).sum() / union if union else 1.0)
    assert len(ious) == 9  # three expressions an image
    return sum(ious) / len(ious)


@pytest.mark.parametrize("task", SAMPLES, ids=[task.value for task in SAMPLES])
def test_texts_are_validated_with_their_loss(micro, here, task):
    data = write_own_shards(here / "own", task=task, num_val=1)

    last = train(data, here / "out", train_config(init_from=str(micro), max_steps=1))

    assert last[f"val_{task.value}_loss"] > 0
    assert not any("giou" in name for name in last)


@pytest.mark.parametrize("phase", ["global_encoder", "grounding"])
@pytest.mark.parametrize("has_split", [True, False], ids=["empty", "missing"])
def test_encoders_train_without_a_val_split(micro, here, phase, has_split):
    data = write_own_shards(here / "own", task=Task.SEMANTIC_SEGMENTATION)
    if not has_split:
        shutil.rmtree(data / "val")

    train(data, here / "out", train_config(init_from=str(micro), phase=phase, max_steps=1))

    assert [row["step"] for row in read_metrics(here / "out/metrics.csv")] == [1]


def test_diverged_run_ends_early_and_keeps_its_last_good_checkpoint(shards, micro, here):
    class Spoil(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 4:
                with torch.no_grad():
                    next(p for p in pl_module.parameters() if p.requires_grad).fill_(torch.nan)

    config = train_config(init_from=str(micro), max_steps=9, checkpoint_steps=2, log_steps=3)

    with pytest.raises(ConfigError, match=r"(not finite|is nan) after step 6"):
        train(shards, here / "out", config, callbacks=[Spoil()])

    kept = sorted(path.name for path in (here / ".runs/train").glob("*/*.ckpt"))
    assert kept == ["step=00000002.ckpt", "step=00000004.ckpt"]
    assert not (here / "out/model.safetensors").exists()
