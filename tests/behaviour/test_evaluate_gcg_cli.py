"""`glamm evaluate gcg` as a user runs it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from glamm.cli import main
from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.gcg.generate import ModelUnderTest, generate_predictions
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.java_runtime import find_java
from glamm.geometry.masks import encode
from glamm.inference.predictor import GroundedPredictor
from glamm.structures.issue import IssueKind, IssueLog
from glamm.structures.report import GcgReport
from tests.builders.gcg import (
    block,
    write_ground_truth,
    write_prediction_file,
    write_similarity_table,
)
from tests.builders.memorized import QUESTION, draw_image

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

LEFT = block(0, 0, 4, 4)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def glamm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Run a command; return its exit code and its output on one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")

    def run(*options: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["glamm", "evaluate", "gcg", *map(str, options)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        output = capsys.readouterr()
        return code, " ".join((output.out + output.err).split())

    return run


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[object, ...]:
    """The options that name two images, their predictions and a similarity table."""
    truth = write_ground_truth(tmp_path / "truth", {"a": [LEFT], "b": [LEFT]})
    write_prediction_file(tmp_path / "predictions", "a", [LEFT])
    write_prediction_file(tmp_path / "predictions", "b", [LEFT])
    table = write_similarity_table(tmp_path / "table.json")
    return (
        *("--predictions", tmp_path / "predictions", "--ground-truth", truth),
        *("--similarity", table, "--split", "val", "--json", tmp_path / "out.json"),
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_missing_prediction_is_counted_and_fails_unless_accepted(
    glamm: Run, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "predictions" / "b.json").unlink()

    code, output = glamm(*inputs)
    accepted, _ = glamm(*inputs, "--accept-faults")

    assert (code, accepted) == (1, 0)
    assert "1 faults in the inputs: b: there is no b.json; counted as an empty answer" in output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["findings"] == [
        {
            "kind": "missing_prediction",
            "record": "b",
            "message": "there is no b.json; counted as an empty answer",
        }
    ]
    assert report["compat"]["true_positives"] == 1
    assert report["compat"]["actual_positives"] == 2
    assert {"AP50", "mIoU", "Recall", "captions", "detail"} <= report["fixed"].keys()


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "No such file or directory"),
        ("echo no heap >&2; exit 3", "exits with status 3 and the message 'no heap'"),
    ],
    ids=["missing", "failing"],
)
def test_java_that_cannot_start_is_reported_before_anything_is_read(
    glamm: Run,
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[object, ...],
    tmp_path: Path,
    script: str | None,
    reason: str,
) -> None:
    java = tmp_path / "java"
    if script:
        _script(java, script)
    monkeypatch.setenv("GLAMM_JAVA", str(java))
    (tmp_path / "predictions" / "a.json").write_text("broken")

    code, output = glamm(*inputs)

    assert code == 1
    assert f"no Java starts, and METEOR needs one. Tried: GLAMM_JAVA {java}: {reason}" in output
    assert "Traceback" not in output
    assert not (tmp_path / "out.json").exists()


def test_meteor_that_ends_at_once_is_reported_in_one_line(
    glamm: Run, monkeypatch: pytest.MonkeyPatch, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    """For example a Java that starts but cannot reserve two gigabytes."""
    java = _script(
        tmp_path / "java",
        f'for option in "$@"; do [ "$option" = -stdio ] && {{ echo no heap >&2; exit 1; }}; done\n'
        f'exec "{find_java()}" "$@"',
    )
    monkeypatch.setenv("GLAMM_JAVA", str(java))

    code, output = glamm(*inputs)

    assert code == 1
    assert f"METEOR ({java}) ended. Its last line of output: no heap." in output
    assert not (tmp_path / "out.json").exists()


def test_broken_json_is_reported_with_its_file(
    glamm: Run, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "predictions" / "a.json").write_text('{"caption": "x",}')

    code, output = glamm(*inputs)

    assert code == 1
    assert f"{tmp_path}/predictions/a.json: is not JSON" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "options",
    [
        ("--split", "val"),
        ("--split", "val", "--predictions", "p"),
        ("--split", "val", "--model", "m", "--data", "d"),
        ("--split", "val", "--model", "m", "--data", "d", "--out", "o", "--json", "j"),
    ],
    ids=["nothing", "no_ground_truth", "no_out", "both"],
)
def test_incomplete_options_are_refused(glamm: Run, options: tuple[str, ...]) -> None:
    code, output = glamm(*options)

    assert code == 2
    assert "give either --predictions, --ground-truth" in output


@pytest.fixture
def running(inputs: tuple[object, ...], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command as a process, at the time when METEOR has started; `pids` holds the ids of its Javas."""
    command = [sys.executable, "-c", "from glamm.cli import main; main()", "evaluate", "gcg"]
    java = _script(tmp_path / "java", f'echo $$ >> "{tmp_path}/pids"\nexec "{find_java()}" "$@"')
    with subprocess.Popen(
        [*command, *map(str, inputs)],
        env=os.environ | {"GLAMM_JAVA": str(java)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        pids = tmp_path / "pids"
        while not pids.exists() or len(pids.read_text().split()) < 2:  # `java -version`, METEOR
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        yield process
        process.kill()


def _have_ended(pids: Path) -> bool:
    """Wait until none of the processes is there any more; False if one is still there after 20 s."""
    deadline = time.monotonic() + 20
    while any(Path("/proc", pid).exists() for pid in pids.read_text().split()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ctrl_c_ends_the_command_and_its_java(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.send_signal(signal.SIGINT)
    _, output = running.communicate(timeout=20)

    assert running.returncode == 130
    assert "interrupted" in output
    assert "Traceback" not in output
    assert _have_ended(tmp_path / "pids")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_java_ends_when_the_command_is_killed(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.kill()
    running.wait()

    assert _have_ended(tmp_path / "pids")


@pytest.fixture
def model(memorized_model: Path) -> Path:
    return memorized_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with the image that the model knows."""
    root = tmp_path / "root"
    annotations = root / "GranDf/annotations/val_test"
    ball, box = _objects()
    write_ground_truth(annotations, {"one": [encode(ball), encode(box)]})
    for kind in ("caption", "mask"):
        path = annotations / f"val_gcg_coco_{kind}_gt.json"
        content = json.loads(path.read_text())
        content["images"][0] |= {"height": 240, "width": 320}
        if kind == "caption":
            content["annotations"][0] |= {
                "caption": "A red ball and a green box.",
                "labels": ["a red ball", "a green box"],
            }
        path.write_text(json.dumps(content))
    image = _image_path(root)
    image.parent.mkdir(parents=True)
    draw_image().save(image, quality=95)
    return root


def _objects() -> tuple[np.ndarray, np.ndarray]:
    """The masks of the ball and of the box."""
    pixels = np.asarray(draw_image())
    return pixels[..., 0] > 150, (pixels[..., 1] == 120) & (pixels[..., 0] == 30)


def _image_path(root: Path) -> Path:
    return root / "GranDf_HA_images" / "val_test" / "one.jpg"


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_model_is_evaluated_on_its_answers(
    glamm: Run, model: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"

    code, output = glamm(
        *("--model", model, "--data", root, "--split", "val", "--out", out),
        *("--set", f"evaluate.question={QUESTION}"),
    )

    assert code == 0, output
    report = GcgReport.load(out / "report.json")
    answer = GroundedPredictor.from_checkpoint(model).ground(_image_path(root), QUESTION)
    ious = [
        np.sum(mask & truth) / np.sum(mask | truth)
        for mask, truth in zip(answer.masks, _objects(), strict=True)
    ]
    assert report.fixed.miou == pytest.approx(np.mean(ious), abs=1e-12)
    assert report.fixed.true_positives == sum(iou >= 0.5 for iou in ious)
    assert report.compat.captions["METEOR"] > 0.5
    assert report.compat.detail is None
    assert str(tmp_path) not in (out / "report.json").read_text()
    assert "![one](overlays/one.png)" in (out / "report.md").read_text()
    assert (out / "overlays" / "one.png").stat().st_size > 10_000
    assert list((tmp_path / ".runs" / "wandb").rglob("*.wandb"))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_answer_is_kept_until_the_image_changes(model: Path, root: Path, tmp_path: Path) -> None:
    truth = read_ground_truth(root, "val", IssueLog())
    loaded = ModelUnderTest.load(model, EvaluateConfig(question=QUESTION))
    issues = IssueLog()
    answer = tmp_path / "predictions" / "one.json"

    def generate() -> frozenset[object]:
        return generate_predictions(truth.images, root, answer.parent, loaded, issues)

    assert generate() == frozenset()
    written = answer.stat().st_mtime_ns

    assert generate() == frozenset()
    assert answer.stat().st_mtime_ns == written

    draw_image().rotate(180).save(_image_path(root))
    assert generate() == frozenset()
    assert answer.stat().st_mtime_ns != written
    assert list(issues) == []

    _image_path(root).write_bytes(b"no image")
    assert generate() == {"one"}
    assert not answer.exists()
    assert [(issue.kind, issue.location.record) for issue in issues] == [
        (IssueKind.UNREADABLE_IMAGE, "one")
    ]
