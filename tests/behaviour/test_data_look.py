"""`glamm data doctor`, `store`, `stats` and `view` as a person uses them."""

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


def glamm(*words, cwd):
    done = subprocess.run(
        [GLAMM, "data", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def root(tmp_path):
    human_annotated_root(tmp_path / "root", count=4)
    prepare(tmp_path / "root", tmp_path / "shards", PrepareConfig())
    return tmp_path


def test_doctor_says_what_is_there_and_what_changed_since(root):
    code, shown, _ = glamm("doctor", "root", "--json", "first.json", cwd=root)
    assert code == 0
    assert "train: 4 records, 4 images; published: about 1000 images: DIFFERS" in shown
    assert "not there: ade20k, " in shown
    assert json.loads((root / "first.json").read_text())["checksums"]

    path = root / "root/GranDf/annotations/train/GranDf_HA_GCG_train.json"
    path.write_text(path.read_text().replace("cube", "ball"))
    code, shown, _ = glamm("doctor", "root", "--against", "first.json", cwd=root)
    assert code == 0
    assert "GranDf_HA_GCG_train.json: has another content" in shown

    path.write_text("[{")
    code, _, shown = glamm("doctor", "root", cwd=root)
    assert (code, "1 file(s) are broken" in shown, "Traceback" in shown) == (1, True, False)


def test_shards_can_be_stored_counted_and_looked_at(root):
    code, _, shown = glamm("export-parquet", "shards", "store", cwd=root)
    assert (code, "1 files written, 0 kept" in shown) == (0, True)

    code, shown, _ = glamm("stats", "shards", "--out", "stats.html", cwd=root)
    assert (code, "4 images, 4 objects, 4 masks, 4 phrases" in shown) == (0, True)
    assert (root / "stats.html").read_text().count("<svg") == 4

    code, _, shown = glamm("render", "shards", "--out", "page.html", "--count", "2", cwd=root)
    assert (code, "2 images: page.html" in shown) == (0, True)
    assert (root / "page.html").read_text().count("<img") == 2


def test_shards_that_are_not_there_end_with_one_line(root):
    for words in (
        ("export-parquet", "none", "x"),
        ("stats", "none"),
        ("render", "none", "--out", "x.html"),
        ("doctor", "none"),
    ):
        code, _, shown = glamm(*words, cwd=root)
        assert (code, shown.count("error:"), "Traceback" in shown) == (1, 1, False)
