"""`glamm data doctor`, `export-parquet`, `stats` and `render`, run as commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from glamm.config.data import PrepareConfig
from glamm.data.preparation.prepare import prepare
from tests.builders.data import human_annotated_root

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GLAMM = Path(sys.executable).with_name("glamm")


def glamm(*arguments, cwd):
    done = subprocess.run(
        [GLAMM, "data", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def root(tmp_path):
    human_annotated_root(tmp_path / "root", count=4)
    prepare(tmp_path / "root", tmp_path / "shards", PrepareConfig())
    return tmp_path


def test_doctor_lists_data_sets_and_changed_files(root):
    code, output, _ = glamm("doctor", "root", "--json", "first.json", cwd=root)
    assert code == 0
    assert "train: 4 records, 4 images; published: about 1000 images: DIFFERS" in output
    assert "missing: ade20k, " in output
    assert json.loads((root / "first.json").read_text())["checksums"]

    path = root / "root/GranDf/annotations/train/GranDf_HA_GCG_train.json"
    path.write_text(path.read_text().replace("cube", "ball"))
    code, output, _ = glamm("doctor", "root", "--against", "first.json", cwd=root)
    assert code == 0
    assert "GranDf_HA_GCG_train.json: has changed" in output

    path.write_text("[{")
    code, _, output = glamm("doctor", "root", cwd=root)
    assert (code, "1 file(s) are broken" in output, "Traceback" in output) == (1, True, False)


def test_shards_can_be_exported_counted_and_rendered(root):
    code, _, output = glamm("export-parquet", "shards", "parquet", cwd=root)
    assert (code, "1 files written, 0 kept" in output) == (0, True)

    code, output, _ = glamm("stats", "shards", "--out", "stats.html", cwd=root)
    assert (code, "4 images, 4 objects, 4 masks, 4 phrases" in output) == (0, True)
    assert (root / "stats.html").read_text().count("<svg") == 4

    code, _, output = glamm("render", "shards", "--out", "page.html", "--count", "2", cwd=root)
    assert (code, "2 images: page.html" in output) == (0, True)
    assert (root / "page.html").read_text().count("<img") == 2


def test_missing_shards_are_an_error_of_one_line(root):
    for arguments in (
        ("export-parquet", "none", "x"),
        ("stats", "none"),
        ("render", "none", "--out", "x.html"),
        ("doctor", "none"),
    ):
        code, _, output = glamm(*arguments, cwd=root)
        assert (code, output.count("error:"), "Traceback" in output) == (1, 1, False)
