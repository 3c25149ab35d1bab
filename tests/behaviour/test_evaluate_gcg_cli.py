"""`glamm evaluate gcg` as a person uses it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from glamm.evaluation.findings import FindingKind

from glamm.cli import main
from glamm.config.evaluation import EvaluateConfig
from glamm.evaluation.gcg.generate import open_job, predict
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.java_runtime import find_java
from glamm.geometry.masks import encode
from glamm.inference.predictor import GroundedPredictor
from tests.builders.gcg import (
    block,
    write_ground_truth,
    write_prediction_file,
    write_similarity_table,
)
from tests.builders.memorized import QUESTION, draw_image, train_memorized_model

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

LEFT = block(0, 0, 4, 4)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def glamm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Run a command; return its exit code and what the terminal shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["glamm", "evaluate", "gcg", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, " ".join((shown.out + shown.err).split())

    return run


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[object, ...]:
    """Two images, one answered; and the options that name them."""
    truth = write_ground_truth(tmp_path / "truth", {"a": [LEFT], "b": [LEFT]})
    write_prediction_file(tmp_path / "answers", "a", [LEFT])
    write_prediction_file(tmp_path / "answers", "b", [LEFT])
    table = write_similarity_table(tmp_path / "table.json")
    return (
        *("--predictions", tmp_path / "answers", "--ground-truth", truth),
        *("--similarity", table, "--split", "val", "--json", tmp_path / "out.json"),
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_missing_answer_is_counted_named_and_ends_badly_unless_accepted(
    glamm: Run, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "answers" / "b.json").unlink()

    code, shown = glamm(*inputs)
    accepted, _ = glamm(*inputs, "--accept-faults")

    assert (code, accepted) == (1, 0)
    assert "1 faults in the inputs: b: there is no b.json; counted as an empty answer" in shown
    tree = json.loads((tmp_path / "out.json").read_text())
    assert tree["findings"] == [
        {
            "kind": "missing_prediction",
            "record": "b",
            "message": "there is no b.json; counted as an empty answer",
        }
    ]
    assert tree["compat"]["true_positives"] == 1
    assert tree["compat"]["actual_positives"] == 2
    assert {"AP50", "mIoU", "Recall", "captions", "detail"} <= tree["fixed"].keys()


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "No such file or directory"),
        ("echo no heap >&2; exit 3", "ends with status 3, saying 'no heap'"),
    ],
)
def test_a_java_that_cannot_start_is_named_before_anything_is_read(
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
    (tmp_path / "answers" / "a.json").write_text("broken")

    code, shown = glamm(*inputs)

    assert code == 1
    assert f"no Java starts, and METEOR needs one. Tried: GLAMM_JAVA {java}: {reason}" in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out.json").exists()


def test_a_meteor_that_ends_at_once_is_one_clear_message(
    glamm: Run, monkeypatch: pytest.MonkeyPatch, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    """Such as a Java that starts but may not take two gigabytes."""
    java = _script(
        tmp_path / "java",
        f'for word in "$@"; do [ "$word" = -stdio ] && {{ echo no heap >&2; exit 1; }}; done\n'
        f'exec "{find_java()}" "$@"',
    )
    monkeypatch.setenv("GLAMM_JAVA", str(java))

    code, shown = glamm(*inputs)

    assert code == 1
    assert f"METEOR ({java}) ended. It says: no heap." in shown
    assert not (tmp_path / "out.json").exists()


def test_broken_json_is_named_with_its_place(
    glamm: Run, inputs: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "answers" / "a.json").write_text('{"caption": "x",}')

    code, shown = glamm(*inputs)

    assert code == 1
    assert f"{tmp_path}/answers/a.json: is not JSON" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ("--split", "val"),
        ("--split", "val", "--predictions", "p"),
        ("--split", "val", "--model", "m", "--data", "d"),
        ("--split", "val", "--model", "m", "--data", "d", "--out", "o", "--json", "j"),
    ],
)
def test_half_a_question_is_refused(glamm: Run, words: tuple[str, ...]) -> None:
    code, shown = glamm(*words)

    assert code == 2
    assert "give either --predictions, --ground-truth" in shown


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ctrl_c_ends_at_once_and_leaves_no_java_behind(
    inputs: tuple[object, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from glamm.cli import main; main()", "evaluate", "gcg"]
    java = _script(tmp_path / "java", f'echo $$ >> "{tmp_path}/pids"\nexec "{find_java()}" "$@"')
    process = subprocess.Popen(
        [*command, *map(str, inputs)],
        env=os.environ | {"GLAMM_JAVA": str(java)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    pids = tmp_path / "pids"
    while not pids.exists() or len(pids.read_text().split()) < 2:  # the trial, then METEOR
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    time.sleep(0.3)

    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert not [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_model_is_asked_judged_and_not_asked_again(glamm: Run, tmp_path: Path) -> None:
    model = train_memorized_model(tmp_path / "model")
    root = tmp_path / "root"
    images = root / "GranDf_HA_images" / "val_test"
    images.mkdir(parents=True)
    pixels = np.asarray(draw_image())
    ball = pixels[..., 0] > 150
    box = (pixels[..., 1] == 120) & (pixels[..., 0] == 30)
    write_ground_truth(root / "GranDf/annotations/val_test", {"one": [encode(ball), encode(box)]})
    for kind in ("caption", "mask"):
        path = root / f"GranDf/annotations/val_test/val_gcg_coco_{kind}_gt.json"
        tree = json.loads(path.read_text())
        tree["images"][0] |= {"height": 240, "width": 320}
        if kind == "caption":
            tree["annotations"][0] |= {
                "caption": "A red ball and a green box.",
                "labels": ["a red ball", "a green box"],
            }
        path.write_text(json.dumps(tree))
    draw_image().save(images / "one.jpg", quality=95)
    words = (
        *("--model", model, "--data", root, "--split", "val", "--out", tmp_path / "report"),
        *("--set", f"evaluate.question={QUESTION}"),
    )

    code, shown = glamm(*words)

    assert code == 0, shown
    report = tmp_path / "report"
    first = (report / "report.json").read_bytes()
    tree = json.loads(first)
    direct = GroundedPredictor.from_checkpoint(model).ground(images / "one.jpg", QUESTION)
    overlap = [
        np.sum(mask & truth) / np.sum(mask | truth)
        for mask, truth in zip(direct.masks, (ball, box), strict=True)
    ]
    assert tree["fixed"]["mIoU"] == pytest.approx(np.mean(overlap), abs=1e-12)
    assert tree["fixed"]["true_positives"] == sum(value >= 0.5 for value in overlap)
    assert tree["compat"]["captions"]["METEOR"] > 0.5
    assert "detail" not in tree["compat"]
    assert str(tmp_path) not in first.decode()
    assert "![one](overlays/one.png)" in (report / "report.md").read_text()
    answer = report / "predictions" / "one.json"
    before = answer.stat().st_mtime_ns
    assert (report / "overlays" / "one.png").stat().st_size > 10_000

    truth, _ = read_ground_truth(root, "val")
    job = open_job(model, EvaluateConfig(question=QUESTION))
    assert predict(truth.images, root, report / "predictions", job) == []
    assert answer.stat().st_mtime_ns == before  # the same model is not asked again

    draw_image().rotate(180).save(images / "one.jpg")
    assert predict(truth.images, root, report / "predictions", job) == []

    assert answer.stat().st_mtime_ns != before  # another image is another question
    assert list((tmp_path / ".runs" / "wandb").rglob("*.wandb"))

    (images / "one.jpg").write_bytes(b"no image")
    findings = predict(truth.images, root, report / "predictions", job)

    assert [(one.kind, one.record) for one in findings] == [(FindingKind.UNREADABLE_IMAGE, "one")]
    assert not answer.exists()
