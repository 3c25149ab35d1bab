import duckdb
import pytest

from glamm.config.data import PrepareConfig
from glamm.data.inspection.parquet import export_annotations, phrases_of
from glamm.data.preparation.prepare import prepare
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.sample import Mask
from tests.builders.data import grounded, human_annotated_root, jpeg, referring


@pytest.fixture
def shards(tmp_path):
    """Thirty images in blocks of about six."""
    human_annotated_root(tmp_path / "root", count=30)
    prepare(tmp_path / "root", tmp_path / "shards", PrepareConfig(), images_per_block=6)
    return tmp_path / "shards"


def test_every_image_is_one_row_in_the_order_of_the_shards(shards, tmp_path):
    export_annotations(shards, tmp_path / "parquet")

    rows = (
        duckdb.read_parquet(f"{tmp_path}/parquet/train/*.parquet")
        .project("image, shard, row, height, width, objects, samples")
        .order("row")
        .fetchall()
    )
    reader = ShardReader(shards / "train")
    names = [name for name, num_images in reader.shards for _ in range(num_images)]
    assert len(rows) == 30
    for number, (encoded, shard, row, height, width, objects, samples) in enumerate(rows):
        sample = reader[number][0]
        assert (row, shard, encoded) == (number, names[number], sample.image.key)
        assert objects[0]["area"] == masks.area(sample.objects[0].mask)
        assert Mask((height, width), objects[0]["mask"]) == sample.objects[0].mask
        assert samples[0]["text"] == sample.turns[1].text
        assert samples[0]["phrases"] == [{"text": "A cube", "object_ids": [0]}]


def test_only_shards_that_changed_are_written_again(shards, tmp_path):
    written, kept = export_annotations(shards, tmp_path / "parquet")
    assert (written, kept) == (len(ShardReader(shards / "train").shards), 0)
    assert export_annotations(shards, tmp_path / "parquet") == (0, written)

    (tmp_path / "root/GranDf_HA_images/train/sa_7.jpg").write_bytes(jpeg(seed=1000))
    prepare(tmp_path / "root", shards, PrepareConfig(), images_per_block=6)

    assert export_annotations(shards, tmp_path / "parquet") == (1, written - 1)
    assert len(list((tmp_path / "parquet/train").iterdir())) == written


def test_damaged_file_is_written_again(shards, tmp_path):
    export_annotations(shards, tmp_path / "parquet")
    next((tmp_path / "parquet/train").iterdir()).write_bytes(b"PAR1")

    assert export_annotations(shards, tmp_path / "parquet")[0] == 1


@pytest.mark.parametrize("content", ["[]", "{}"], ids=["list", "former_version"])
def test_unreadable_manifest_is_refused(shards, tmp_path, content):
    (shards / "manifest.json").write_text(content)

    with pytest.raises(DataError, match=r"manifest\.json.*: run glamm data prepare again"):
        export_annotations(shards, tmp_path / "parquet")


def test_shards_without_a_manifest_are_refused(tmp_path):
    with pytest.raises(DataError, match="run glamm data prepare"):
        export_annotations(tmp_path, tmp_path / "parquet")


def test_phrases_are_spans_and_targets():
    assert list(phrases_of(grounded())) == [("A cube", (0,)), ("two balls", (1, 5))]
    assert [text for text, _ in phrases_of(referring())] == [f"thing {i}" for i in range(4)]
