import json

import duckdb
import pytest

from glamm.config.data import PrepareConfig
from glamm.data.inspection.parquet import phrases_of, write_store
from glamm.data.preparation import incremental
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.sample import Mask
from tests.builders.data import grounded, human_annotated_root, jpeg, referring


@pytest.fixture
def shards(tmp_path, monkeypatch):
    monkeypatch.setattr(incremental, "_MEAN", 6)
    human_annotated_root(tmp_path / "root", count=30)
    prepare(tmp_path / "root", tmp_path / "shards", PrepareConfig())
    return tmp_path / "shards"


def test_store_has_a_row_a_image_in_the_order_of_the_shards(shards, tmp_path):
    write_store(shards, tmp_path / "store")

    rows = (
        duckdb.read_parquet(f"{tmp_path}/store/train/*.parquet")
        .project("image, shard, row, height, width, objects, samples")
        .order("row")
        .fetchall()
    )
    reader = ShardReader(shards / "train")
    names = [name for name, count in reader.chunks for _ in range(count)]
    assert len(rows) == 30
    for number, (encoded, shard, row, height, width, objects, samples) in enumerate(rows):
        sample = reader[number][0]
        assert (row, shard, encoded) == (number, names[number], sample.image.key)
        assert objects[0]["area"] == masks.area(sample.objects[0].mask)
        assert Mask((height, width), objects[0]["mask"]) == sample.objects[0].mask
        assert samples[0]["text"] == sample.turns[1].text
        assert samples[0]["phrases"] == [{"text": "A cube", "object_ids": [0]}]


def test_only_shards_that_changed_are_written_again(shards, tmp_path):
    written, kept = write_store(shards, tmp_path / "store")
    assert (written, kept) == (len(ShardReader(shards / "train").chunks), 0)
    assert write_store(shards, tmp_path / "store") == (0, written)

    (tmp_path / "root/GranDf_HA_images/train/sa_7.jpg").write_bytes(jpeg(seed=1000))
    prepare(tmp_path / "root", shards, PrepareConfig())

    assert write_store(shards, tmp_path / "store") == (1, written - 1)
    assert len(list((tmp_path / "store/train").iterdir())) == written


def test_damaged_store_file_is_written_again(shards, tmp_path):
    write_store(shards, tmp_path / "store")
    next((tmp_path / "store/train").iterdir()).write_bytes(b"PAR1")

    assert write_store(shards, tmp_path / "store")[0] == 1


def test_shards_without_or_with_a_broken_manifest_are_refused(shards, tmp_path):
    (shards / "manifest.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="is damaged"):
        write_store(shards, tmp_path / "store")
    (shards / "manifest.json").unlink()
    with pytest.raises(DataError, match="run glamm data prepare"):
        write_store(shards, tmp_path / "store")


def test_phrases_are_spans_and_targets():
    assert list(phrases_of(grounded())) == [("A cube", (0,)), ("two balls", (1, 5))]
    assert [text for text, _ in phrases_of(referring())] == [f"thing {i}" for i in range(4)]
