import hashlib
import json
import logging
import shutil

import pytest

from glamm.config.data import PrepareConfig
from glamm.data.preparation.prepare import prepare, restore
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.structures.manifest import PrepareManifest
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

    assert manifest == PrepareManifest.load(tmp_path / "out/manifest.json")
    files = {
        name: data for name, data in contents(tmp_path / "out").items() if name != "manifest.json"
    }
    assert {name: (file.num_bytes, file.sha256) for name, file in manifest.files.items()} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    }
    counts = manifest.counts["val"]["granddf_val_test"]
    assert (counts.images, counts.objects, counts.samples) == (3, 9, {"gcg": 3})
    for split, images in (("train", 10), ("val", 3), ("test", 2)):
        assert len(ShardReader(tmp_path / "out" / split)) == images


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_bytes_do_not_depend_on_folder_or_workers(root, tmp_path):
    other = tmp_path / "another/folder"
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
    whole = {
        (line["file"], line["record"]): line["reason"]
        for line in lines
        if line["severity"] == "record"
    }
    file = "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    assert "there is no image 'sa_508.jpg'" in whole[file, "1"]
    assert "no grounding" in whole[file, "5"]
    assert manifest.left_out.records == {"granddf_ha_gcg": 2}
    assert manifest.left_out.parts == {"grand": len(lines) - 2}


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


def test_broken_file_of_one_image_is_left_out_and_reported_at_the_end(root, tmp_path):
    (root / "GranD/annotations/sa_8502.json").write_text('{"sa_8502.jpg": {"objects"')

    with pytest.raises(
        DataError, match=r"sa_8502.json: is not JSON: .* 1 file\(s\) are broken: repair or remove"
    ):
        prepare(root, tmp_path / "out", EVERYTHING)

    assert len(ShardReader(tmp_path / "out/train")) == 9


@pytest.mark.parametrize(
    "moment",
    ["first block", "last block", "manifest"],
    ids=["first_block", "last_block", "before_the_swap"],
)
def test_interrupted_run_keeps_the_old_output_and_the_next_run_continues(
    root, tmp_path, monkeypatch, moment
):
    out = tmp_path / "out"
    prepare(root, out, PrepareConfig(datasets=("granddf_val_test",)))
    before = contents(out)
    prepare(root, tmp_path / "expected", EVERYTHING)
    finished = []

    def interrupt(*_):
        raise KeyboardInterrupt

    def count_and_interrupt(block):
        finished.append(block)
        if (moment, len(finished)) in {("first block", 1), ("last block", 4)}:
            interrupt()

    with monkeypatch.context() as patched:
        if moment == "manifest":
            patched.setattr(PrepareManifest, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(root, out, EVERYTHING, on_block=count_and_interrupt)
    assert contents(out) == before
    made = [block.fingerprint for block in finished if not block.is_kept]

    again = []
    prepare(root, out, EVERYTHING, on_block=again.append)

    assert made
    assert {block.fingerprint for block in again if block.is_kept} >= set(made)
    assert contents(out) == contents(tmp_path / "expected")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out", "root"]


def test_files_of_an_interrupted_run_that_are_no_longer_needed_are_removed(root, tmp_path):
    prepare(root, tmp_path / "expected", EVERYTHING)
    folder = tmp_path / ".out.unfinished/train/blocks"
    folder.mkdir(parents=True)
    for name in (
        ".out.unfinished/.manifest.json.part",
        ".out.unfinished/train/chunk-other-0.bin",
        ".out.unfinished/train/.chunk-other-1.bin.42.part",
        ".out.unfinished/train/blocks/other.json",
    ):
        (tmp_path / name).write_bytes(b"")

    prepare(root, tmp_path / "out", EVERYTHING)

    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


@pytest.fixture
def many(tmp_path):
    """Sixty images."""
    human_annotated_root(tmp_path / "root", count=60)
    return tmp_path / "root"


def prepare_small_blocks(root, out, config=EVERYTHING, **options):
    """Blocks of about six images."""
    return prepare(root, out, config, images_per_block=6, **options)


def shards_of(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "train").glob("*.bin")}


@pytest.mark.parametrize("change", ["pixels", "removed", "text"])
def test_change_of_an_image_makes_only_its_shard_again(many, tmp_path, change):
    out = tmp_path / "out"
    prepare_small_blocks(many, out)
    before = shards_of(out)
    path = many / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    image = many / "GranDf_HA_images/train/sa_31.jpg"
    if change == "pixels":
        image.write_bytes(jpeg(seed=1000))
    elif change == "removed":
        image.unlink()
    else:
        path.write_text(path.read_text().replace("number 31.", "one of many."))

    prepare_small_blocks(many, out)

    after = shards_of(out)
    assert len(before) > 5
    assert len(set(before.items()) - set(after.items())) == 1
    assert len(set(after.items()) - set(before.items())) == 1
    prepare_small_blocks(many, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_new_records_at_the_end_change_only_the_last_shard(many, tmp_path):
    out = tmp_path / "out"
    path = many / "GranDf/annotations/train/GranDf_HA_GCG_train.json"
    records = json.loads(path.read_text())
    path.write_text(json.dumps(records[:-1]))
    prepare_small_blocks(many, out)
    before = shards_of(out)

    path.write_text(json.dumps(records))
    prepare_small_blocks(many, out)

    assert len(set(before.items()) - set(shards_of(out).items())) <= 1
    assert len(ShardReader(out / "train")) == 60


def test_damaged_shard_is_made_again(many, tmp_path):
    out = tmp_path / "out"
    prepare_small_blocks(many, out)
    expected = contents(out)
    damaged = next((out / "train").glob("*.bin"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    blocks = []

    prepare_small_blocks(many, out, on_block=blocks.append)

    assert sum(not block.is_kept for block in blocks) == 1
    assert contents(out) == expected


def test_other_parameters_make_all_blocks_again(many, tmp_path):
    prepare_small_blocks(many, tmp_path / "out")
    blocks = []

    config = PrepareConfig(shard_mebibytes=32)
    prepare_small_blocks(many, tmp_path / "out", config, on_block=blocks.append)

    assert not any(block.is_kept for block in blocks)


def test_output_of_another_version_is_made_again_with_a_warning(many, tmp_path, caplog):
    out = tmp_path / "out"
    prepare_small_blocks(many, out)
    expected = contents(out)
    (out / "manifest.json").write_text('{"schema": 1}')
    for path in (out / "train/blocks").iterdir():
        path.write_text('{"source": "granddf_ha_gcg", "chunks": []}')
    blocks = []

    with caplog.at_level(logging.WARNING):
        prepare_small_blocks(many, out, on_block=blocks.append)

    [message] = caplog.messages
    assert "written by another version of glamm" in message
    assert not any(block.is_kept for block in blocks)
    assert contents(out) == expected


def test_manifest_lists_the_shards_of_every_block(many, tmp_path):
    manifest = prepare_small_blocks(many, tmp_path / "out")

    blocks = manifest.blocks["train"]
    listed = [name for block in blocks for name in block.files]
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "out/train").glob("*.bin"))
    assert all(
        name.startswith(f"chunk-{block.fingerprint}-") for block in blocks for name in block.files
    )


def test_output_is_restored_after_a_run_was_killed_during_the_swap(root, tmp_path):
    out = tmp_path / "out"
    prepare(root, out, EVERYTHING)
    before = contents(out)
    out.rename(tmp_path / ".out.former")
    (tmp_path / ".out.unfinished/train").mkdir(parents=True)

    restore(out)

    assert contents(out) == before
    prepare(root, out, EVERYTHING)
    assert contents(out) == before


def test_only_the_chosen_data_sets_are_read(root, tmp_path):
    manifest = prepare(root, tmp_path / "out", PrepareConfig(datasets=("granddf_val_test",)))

    assert manifest.datasets == ("granddf_val_test",)
    assert not (tmp_path / "out/train").exists()


def test_block_larger_than_the_shard_size_has_several_shards(tmp_path):
    human_annotated_root(tmp_path / "root", count=3)
    big = tmp_path / "root/GranDf_HA_images/train/sa_0.jpg"
    big.write_bytes(big.read_bytes() + b"\0" * (1 << 20))  # after the end of the image: no harm

    prepare(tmp_path / "root", tmp_path / "out", PrepareConfig(shard_mebibytes=1))

    assert len(list((tmp_path / "out/train").glob("*.bin"))) > 1
    assert len(ShardReader(tmp_path / "out/train")) == 3


def test_folder_without_data_sets_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no data set in a known layout"):
        prepare(tmp_path, tmp_path / "out", EVERYTHING)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        prepare(tmp_path / "none", tmp_path / "out", EVERYTHING)


def test_missing_data_set_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"does not hold grand, which prepare.datasets names"):
        prepare(tmp_path, tmp_path / "out", PrepareConfig(datasets=("grand",)))


def test_data_set_without_a_valid_record_is_refused(tmp_path):
    path = human_annotated_root(tmp_path / "root")
    path.write_text("[1, 2]")

    with pytest.raises(DataError, match="none of 2 records can be trained"):
        prepare(tmp_path / "root", tmp_path / "out", EVERYTHING)
