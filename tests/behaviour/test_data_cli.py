"""`glamm data`: the files that it writes, its messages, and its exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from glamm.cli import main
from glamm.config.data import PrepareConfig
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader
from tests.builders.data import BAD_FORMATS, FORMATS, human_annotated_root

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture
def glamm(monkeypatch, capsys, tmp_path):
    """Run a command; return its exit code and its output on stderr."""

    monkeypatch.chdir(tmp_path)  # no params.yaml but the test's own

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["glamm", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return code, capsys.readouterr().err

    return run


def test_read_writes_records_and_prints_issues(glamm, tmp_path):
    out = tmp_path / "out.json"

    code, output = glamm(
        "data", "read", "granddf_ha_gcg", FORMATS / "granddf_ha_gcg/root", "--json", out
    )

    result = json.loads(out.read_text())
    assert code == 0
    assert len(result["samples"]) == 5
    assert len(result["dropped"]) == 1
    lines = output.splitlines()
    assert lines[0].startswith(
        "file GranDf/annotations/train/GranDf_HA_GCG_train.json, record 5: no grounding"
    )
    assert lines[1].startswith("5 records read, 1 left out")
    assert len(lines) == 2


@pytest.mark.parametrize("name", sorted(path.name for path in FORMATS.iterdir()))
def test_read_prints_every_issue_of_every_layout_in_a_line(glamm, tmp_path, name):
    out = tmp_path / "out.json"
    expected = json.loads((FORMATS / name / "expected.json").read_text())

    code, output = glamm("data", "read", name, FORMATS / name / "root", "--json", out)

    result = json.loads(out.read_text())
    assert code == 0
    assert [s["record"] for s in result["samples"]] == [s["record"] for s in expected["samples"]]
    dropped = [(entry["record"], entry["reason"]) for entry in result["dropped"]]
    assert dropped == [(entry["record"], entry["reason"]) for entry in expected["dropped"]]
    lines = output.splitlines()
    assert len(lines) == len(result["dropped"]) + len(result["findings"]) + 1
    assert all(line.startswith("file ") for line in lines[:-1])


def test_read_continues_with_the_other_splits_after_a_truncated_file(glamm, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(FORMATS / "openpsg_gcg/root", root)
    path = root / "GranDf/annotations/train/OpenPsgGCG_train.json"
    path.write_bytes(path.read_bytes()[:900])

    code, output = glamm("data", "read", "openpsg_gcg", root, "--json", tmp_path / "out.json")

    result = json.loads((tmp_path / "out.json").read_text())
    assert code == 1
    assert [sample["split"] for sample in result["samples"]].count("val") == 1
    assert result["dropped"][0]["record"] == "GranDf/annotations/train/OpenPsgGCG_train.json"
    assert "OpenPsgGCG_train.json: is not the expected JSON" in output


def test_read_of_one_split_reads_only_that(glamm, tmp_path):
    out = tmp_path / "out.json"

    glamm(
        "data",
        "read",
        "granddf_val_test",
        FORMATS / "granddf_val_test/root",
        "--split",
        "test",
        "--json",
        out,
    )

    assert {sample["split"] for sample in json.loads(out.read_text())["samples"]} == {"test"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("nonsense", FORMATS),
            "no data set is called 'nonsense'; there are: ade20k, ",
        ),
        (("grand", FORMATS / "nowhere"), "is no folder"),
        (("grand", FORMATS / "granddf_ha_gcg/root"), "holds no data set in the layout grand"),
        (
            ("grand", FORMATS / "grand/root", "--split", "testA"),
            "has no split 'testA'; it has: train",
        ),
        (
            ("granddf_ha_gcg", BAD_FORMATS / "truncated_json/root"),
            "GranDf_HA_GCG_train.json: is not the expected JSON",
        ),
    ],
    ids=["unknown_set", "no_folder", "another_layout", "unknown_split", "truncated_file"],
)
def test_read_of_missing_or_broken_data_is_an_error_of_one_line(
    glamm, tmp_path, arguments, message
):
    code, output = glamm("data", "read", *arguments, "--json", tmp_path / "out.json")

    assert code == 1
    assert message in output
    assert output.count("error:") == 1
    assert "Traceback" not in output


def test_prepare_prints_the_counts(glamm, tmp_path):
    for name in ("grand", "granddf_ha_gcg", "granddf_val_test"):
        shutil.copytree(FORMATS / name / "root", tmp_path / "root", dirs_exist_ok=True)

    code, output = glamm("data", "prepare", tmp_path / "root", tmp_path / "out", "--workers", "1")

    assert code == 0
    assert "train: granddf_ha_gcg: 5 images (5 gcg)" in output
    assert "val: granddf_val_test: 3 images (3 gcg)" in output
    assert "7 records or parts were left out; all are listed in" in output


def test_prepare_takes_parameters(glamm, tmp_path):
    shutil.copytree(FORMATS / "granddf_val_test/root", tmp_path / "root")
    arguments = ("data", "prepare", tmp_path / "root", tmp_path / "out", "--workers", "1")

    code, output = glamm(*arguments, "--set", "prepare.datasets=[grand]")
    assert (code, "does not hold grand, which prepare.datasets names" in output) == (1, True)

    code, output = glamm(*arguments, "--set", "prepare.shard_size=3")
    assert (code, "prepare.shard_size: Extra inputs" in output) == (2, True)


@pytest.fixture
def many(tmp_path):
    """A data set that is large enough to interrupt its preparation, and the shards of a smaller one."""
    human_annotated_root(tmp_path / "few", count=3)
    human_annotated_root(tmp_path / "many", count=2500)
    prepare(tmp_path / "few", tmp_path / "out", PrepareConfig())
    return tmp_path


@pytest.fixture
def start_prepare():
    """Start the command in another process, which is killed at the end of the test."""
    started = []

    def start(folder, out, *, workers):
        arguments = ["data", "prepare", str(folder), str(out), "--workers", str(workers)]
        code = (
            f"import sys; sys.argv = ['glamm', *{arguments!r}]; from glamm.cli import main; main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=out.parent
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_ctrl_c_prints_one_line_and_keeps_the_former_shards(many, start_prepare):
    out = many / "out"
    process = start_prepare(many / "many", out, workers=2)
    wait_for(process, (many / ".out.unfinished/train/blocks").is_dir)

    os.kill(process.pid, signal.SIGINT)
    _, output = process.communicate()

    assert process.returncode == 130
    assert "interrupted: SIGINT: ended; what was finished before is kept" in output
    assert "Traceback" not in output
    assert len(ShardReader(out / "train")) == 3


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("workers", [1, 2], ids=["one_worker", "two_workers"])
def test_killed_run_is_continued(many, start_prepare, workers):
    out = many / "out"
    descriptions = many / ".out.unfinished/train/blocks"
    process = start_prepare(many / "many", out, workers=workers)
    wait_for(process, lambda: descriptions.is_dir() and len(list(descriptions.glob("*.json"))) >= 3)

    process.kill()
    process.communicate()  # ends when the last worker has closed its end of the pipe
    after_kill = len(ShardReader(out / "train"))
    finished = {path.stem: path.stat().st_mtime_ns for path in descriptions.glob("*.json")}
    kept = []
    prepare(many / "many", out, PrepareConfig(), on_block=lambda block: kept.append(block.is_kept))

    assert after_kill == 3
    assert sum(kept) == len(finished) < len(kept)
    for name, written in finished.items():
        assert (out / f"train/blocks/{name}.json").stat().st_mtime_ns == written
    assert len(ShardReader(out / "train")) == 2500
    assert not list(out.rglob("*.part"))
    assert sorted(path.name for path in many.iterdir()) == ["few", "many", "out"]
