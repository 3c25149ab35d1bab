"""`glamm data` as a person uses it: what it writes, what it says, and how it ends."""

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
    """Run a command; return its exit code and what the terminal shows."""

    monkeypatch.chdir(tmp_path)  # no params.yaml but the test's own

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["glamm", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return code, capsys.readouterr().err

    return run


def test_read_writes_what_it_understood_and_says_what_it_left_out(glamm, tmp_path):
    out = tmp_path / "out.json"

    code, shown = glamm(
        "data", "read", "granddf_ha_gcg", FORMATS / "granddf_ha_gcg/root", "--json", out
    )

    told = json.loads(out.read_text())
    assert code == 0
    assert len(told["samples"]) == 5
    assert len(told["dropped"]) == 1
    lines = shown.splitlines()
    assert lines[0].startswith(
        "file GranDf/annotations/train/GranDf_HA_GCG_train.json, record 5: no grounding"
    )
    assert lines[1].startswith("5 records read, 1 left out")
    assert len(lines) == 2


@pytest.mark.parametrize("name", sorted(path.name for path in FORMATS.iterdir()))
def test_read_of_every_layout_says_every_finding_in_a_line(glamm, tmp_path, name):
    out = tmp_path / "out.json"
    expected = json.loads((FORMATS / name / "expected.json").read_text())

    code, shown = glamm("data", "read", name, FORMATS / name / "root", "--json", out)

    told = json.loads(out.read_text())
    assert code == 0
    assert [s["record"] for s in told["samples"]] == [s["record"] for s in expected["samples"]]
    dropped = [(entry["record"], entry["reason"]) for entry in told["dropped"]]
    assert dropped == [(entry["record"], entry["reason"]) for entry in expected["dropped"]]
    lines = shown.splitlines()
    assert len(lines) == len(told["dropped"]) + len(told["findings"]) + 1
    assert all(line.startswith("file ") for line in lines[:-1])


def test_read_goes_on_with_the_other_splits_where_a_file_is_cut(glamm, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(FORMATS / "openpsg_gcg/root", root)
    path = root / "GranDf/annotations/train/OpenPsgGCG_train.json"
    path.write_bytes(path.read_bytes()[:900])

    code, shown = glamm("data", "read", "openpsg_gcg", root, "--json", tmp_path / "out.json")

    told = json.loads((tmp_path / "out.json").read_text())
    assert code == 1
    assert [sample["split"] for sample in told["samples"]].count("val") == 1
    assert told["dropped"][0]["record"] == "GranDf/annotations/train/OpenPsgGCG_train.json"
    assert "OpenPsgGCG_train.json: is not the expected JSON" in shown


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
    ("words", "message"),
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
    ids=["unknown set", "no folder", "another layout", "unknown split", "cut file"],
)
def test_read_of_what_is_not_there_ends_with_one_line(glamm, tmp_path, words, message):
    code, shown = glamm("data", "read", *words, "--json", tmp_path / "out.json")

    assert code == 1
    assert message in shown
    assert shown.count("error:") == 1
    assert "Traceback" not in shown


def test_prepare_says_what_came_out(glamm, tmp_path):
    for name in ("grand", "granddf_ha_gcg", "granddf_val_test"):
        shutil.copytree(FORMATS / name / "root", tmp_path / "root", dirs_exist_ok=True)

    code, shown = glamm("data", "prepare", tmp_path / "root", tmp_path / "out", "--workers", "1")

    assert code == 0
    assert "train: granddf_ha_gcg: 5 images (5 gcg)" in shown
    assert "val: granddf_val_test: 3 images (3 gcg)" in shown
    assert "7 things were left out; all of them are in" in shown


def test_prepare_takes_parameters(glamm, tmp_path):
    shutil.copytree(FORMATS / "granddf_val_test/root", tmp_path / "root")
    words = ("data", "prepare", tmp_path / "root", tmp_path / "out", "--workers", "1")

    code, shown = glamm(*words, "--set", "prepare.datasets=[grand]")
    assert (code, "does not hold grand, which prepare.datasets asks for" in shown) == (1, True)

    code, shown = glamm(*words, "--set", "prepare.shard_size=3")
    assert (code, "prepare.shard_size: Extra inputs" in shown) == (2, True)


@pytest.fixture
def many(tmp_path):
    """Enough images that a run can be stopped in its middle, and the shards of a former, smaller set."""
    human_annotated_root(tmp_path / "few", count=3)
    human_annotated_root(tmp_path / "many", count=2500)
    prepare(tmp_path / "few", tmp_path / "out", PrepareConfig())
    return tmp_path


@pytest.fixture
def start_prepare():
    """Start the command as a process of its own; none outlives the test."""
    started = []

    def start(folder, out, *, workers):
        words = ["data", "prepare", str(folder), str(out), "--workers", str(workers)]
        code = f"import sys; sys.argv = ['glamm', *{words!r}]; from glamm.cli import main; main()"
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
def test_ctrl_c_ends_with_one_line_and_leaves_the_former_shards(many, start_prepare):
    out = many / "out"
    process = start_prepare(many / "many", out, workers=2)
    wait_for(process, (many / ".out.unfinished/train/blocks").is_dir)

    os.kill(process.pid, signal.SIGINT)
    _, shown = process.communicate()

    assert process.returncode == 130
    assert "interrupted: interrupted; what was finished before is kept" in shown
    assert "Traceback" not in shown
    assert len(ShardReader(out / "train")) == 3


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("workers", [1, 2])
def test_run_that_was_killed_goes_on_where_it_was(many, start_prepare, workers):
    out = many / "out"
    done = many / ".out.unfinished/train/blocks"
    process = start_prepare(many / "many", out, workers=workers)
    wait_for(process, lambda: done.is_dir() and len(list(done.glob("*.json"))) >= 3)

    process.kill()
    process.communicate()  # ends when the last worker has closed its end of the pipe
    after_kill = len(ShardReader(out / "train"))
    finished = {path.stem: path.stat().st_mtime_ns for path in done.glob("*.json")}
    kept = []
    prepare(many / "many", out, PrepareConfig(), report=lambda block: kept.append(block.is_kept))

    assert after_kill == 3
    assert sum(kept) == len(finished) < len(kept)
    for name, written in finished.items():
        assert (out / f"train/blocks/{name}.json").stat().st_mtime_ns == written
    assert len(ShardReader(out / "train")) == 2500
    assert not list(out.rglob("*.unfinished"))
    assert sorted(path.name for path in many.iterdir()) == ["few", "many", "out"]
