import hashlib
import json
import shutil

import pytest

from glamm.config.data import PrepareConfig
from glamm.data.preparation import incremental
from glamm.data.preparation import prepare as module
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from tests.builders.data import FORMATS, human_annotated_root, jpeg

EVERYTHING = PrepareConfig()


@pytest.fixture
def root(tmp_path):
    """All official miniatures in one tree."""
    for name in ("grand", "granddf_ha_gcg", "granddf_val_test"):
        shutil.copytree(FORMATS / name / "root", tmp_path / "root", dirs_exist_ok=True)
    return tmp_path / "root"


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_manifest_counts_and_checksums_are_those_of_the_files(root, tmp_path):
    manifest = prepare(root, tmp_path / "out", EVERYTHING)

    assert manifest == json.loads((tmp_path / "out/manifest.json").read_text())
    files = {
        name: data for name, data in contents(tmp_path / "out").items() if name != "manifest.json"
    }
    assert manifest["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    assert manifest["counts"]["val"] == {
        "granddf_val_test": {"objects": 9, "images": 3, "samples": {"gcg": 3}}
    }
    for split, images in (("train", 10), ("val", 3), ("test", 2)):
        assert len(ShardReader(tmp_path / "out" / split)) == images


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_bytes_do_not_depend_on_place_or_workers(root, tmp_path):
    other = tmp_path / "another/place"
    shutil.copytree(root, other)

    prepare(root, tmp_path / "one", EVERYTHING, workers=1)
    prepare(other, tmp_path / "two", EVERYTHING, workers=2)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_records_left_out_are_named_and_counted(root, tmp_path):
    (root / "GranDf_HA_images/train/sa_508.jpg").unlink()

    manifest = prepare(root, tmp_path / "out", EVERYTHING)

    lines = [
        json.loads(line) for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
    ]
    whole = {(line["file"], line["record"]): line["reason"] for line in lines if line["is_whole"]}
    file = "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    assert "there is no image 'sa_508.jpg'" in whole[file, "1"]
    assert "no grounding" in whole[file, "5"]
    assert manifest["left_out"]["records"] == {"granddf_ha_gcg": 2}
    assert manifest["left_out"]["parts"] == {"grand": len(lines) - 2}


def test_broken_list_leaves_the_former_shards_alone(root, tmp_path):
    out = tmp_path / "out"
    prepare(root, out, EVERYTHING)
    before = contents(out)
    path = root / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    path.write_text(path.read_text()[:-40])

    with pytest.raises(
        DataError, match=r"GranDf_HA_GCG_train.json: is not the expected JSON: .* \(character \d+\)"
    ):
        prepare(root, out, EVERYTHING)

    assert contents(out) == before


def test_broken_file_of_one_image_is_left_out_and_said_at_the_end(root, tmp_path):
    (root / "GranD/annotations/sa_8502.json").write_text('{"sa_8502.jpg": {"objects"')

    with pytest.raises(
        DataError, match=r"sa_8502.json: is not JSON: .* 1 file\(s\) are broken: repair or remove"
    ):
        prepare(root, tmp_path / "out", EVERYTHING)

    assert len(ShardReader(tmp_path / "out/train")) == 9


@pytest.mark.parametrize("moment", ["first block", "last block", "before the swap"])
def test_interruption_leaves_the_old_state_and_the_next_run_goes_on(
    root, tmp_path, monkeypatch, moment
):
    out = tmp_path / "out"
    prepare(root, out, PrepareConfig(sources=("granddf_val_test",)))
    before = contents(out)
    prepare(root, tmp_path / "expected", EVERYTHING)
    seen = []

    def interrupt(*_):
        raise KeyboardInterrupt

    def stop(block):
        seen.append(block)
        if (moment, len(seen)) in {("first block", 1), ("last block", 4)}:
            interrupt()

    with monkeypatch.context() as patched:
        if moment == "before the swap":
            patched.setattr(module, "_replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(root, out, EVERYTHING, report=stop)
    assert contents(out) == before
    made = [block.fingerprint for block in seen if not block.is_kept]

    again = []
    prepare(root, out, EVERYTHING, report=again.append)

    assert made
    assert {block.fingerprint for block in again if block.is_kept} >= set(made)
    assert contents(out) == contents(tmp_path / "expected")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out", "root"]


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Sixty images in blocks of about six."""
    monkeypatch.setattr(incremental, "_MEAN", 6)
    human_annotated_root(tmp_path / "root", count=60)
    return tmp_path / "root"


def shards_of(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "train").glob("*.bin")}


@pytest.mark.parametrize("change", ["other pixels", "taken away", "other words"])
def test_change_of_a_image_redoes_its_shard_only(many, tmp_path, change):
    out = tmp_path / "out"
    prepare(many, out, EVERYTHING)
    before = shards_of(out)
    path = many / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    image = many / "GranDf_HA_images/train/sa_31.jpg"
    if change == "other pixels":
        image.write_bytes(jpeg(seed=1000))
    elif change == "taken away":
        image.unlink()
    else:
        path.write_text(path.read_text().replace("number 31.", "one of many."))

    prepare(many, out, EVERYTHING)

    after = shards_of(out)
    assert len(before) > 5
    assert len(set(before.items()) - set(after.items())) == 1
    assert len(set(after.items()) - set(before.items())) == 1
    prepare(many, tmp_path / "fresh", EVERYTHING)
    assert contents(out) == contents(tmp_path / "fresh")


def test_new_records_at_the_end_touch_the_last_shard_only(many, tmp_path):
    out = tmp_path / "out"
    path = many / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    records = json.loads(path.read_text())
    path.write_text(json.dumps(records[:-1]))
    prepare(many, out, EVERYTHING)
    before = shards_of(out)

    path.write_text(json.dumps(records))
    prepare(many, out, EVERYTHING)

    assert len(set(before.items()) - set(shards_of(out).items())) <= 1
    assert len(ShardReader(out / "train")) == 60


def test_damaged_shard_is_made_again_and_parameters_are_part_of_the_fingerprint(many, tmp_path):
    out = tmp_path / "out"
    prepare(many, out, EVERYTHING)
    good = contents(out)
    damaged = next((out / "train").glob("*.bin"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    made = []

    prepare(many, out, EVERYTHING, report=made.append)

    assert sum(not block.is_kept for block in made) == 1
    assert contents(out) == good
    made.clear()
    prepare(many, out, PrepareConfig(shard_mebibytes=32), report=made.append)
    assert not any(block.is_kept for block in made)


def test_manifest_names_the_fingerprint_of_every_shard(many, tmp_path):
    manifest = prepare(many, tmp_path / "out", EVERYTHING)

    listed = [name for block in manifest["shards"]["train"] for name in block["files"]]
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "out/train").glob("*.bin"))
    assert all(
        name.startswith(f"chunk-{block['fingerprint']}-")
        for block in manifest["shards"]["train"]
        for name in block["files"]
    )


def test_run_killed_in_the_middle_of_the_swap_is_mended(root, tmp_path):
    out = tmp_path / "out"
    prepare(root, out, EVERYTHING)
    before = contents(out)
    out.rename(tmp_path / ".out.former")
    (tmp_path / ".out.unfinished/train").mkdir(parents=True)

    module.restore(out)

    assert contents(out) == before
    prepare(root, out, EVERYTHING)
    assert contents(out) == before


def test_only_the_sources_asked_for_are_read(root, tmp_path):
    manifest = prepare(root, tmp_path / "out", PrepareConfig(sources=("granddf_val_test",)))

    assert manifest["sources"] == ["granddf_val_test"]
    assert not (tmp_path / "out/train").exists()


def test_small_shards_are_several_files(tmp_path):
    human_annotated_root(tmp_path / "root", count=3)
    big = tmp_path / "root/GranDf_HA_images/train/sa_0.jpg"
    big.write_bytes(big.read_bytes() + b"\0" * (1 << 20))  # after the end of the image: no harm

    prepare(tmp_path / "root", tmp_path / "out", PrepareConfig(shard_mebibytes=1))

    assert len(list((tmp_path / "out/train").glob("*.bin"))) > 1
    assert len(ShardReader(tmp_path / "out/train")) == 3


def test_nothing_to_prepare_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="holds no data set in a layout that is known"):
        prepare(tmp_path, tmp_path / "out", EVERYTHING)
    with pytest.raises(DataError, match="is no folder"):
        prepare(tmp_path / "none", tmp_path / "out", EVERYTHING)
    with pytest.raises(DataError, match=r"does not hold grand, which prepare.datasets asks for"):
        prepare(tmp_path, tmp_path / "out", PrepareConfig(sources=("grand",)))
    path = human_annotated_root(tmp_path / "root")
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="none of 2 records can be trained"):
        prepare(tmp_path / "root", tmp_path / "out", EVERYTHING)
