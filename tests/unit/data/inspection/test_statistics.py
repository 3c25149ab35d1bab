import pytest

from glamm.data.inspection.statistics import (
    AREA_EDGES,
    COUNT_EDGES,
    count,
    count_shards,
    edge_names,
    plots_of,
    write_page,
)
from glamm.data.shards.reader import ShardWriter
from glamm.errors import DataError
from tests.builders.data import grounded, jpeg, obj, row


def test_everything_is_counted_once():
    one = count([row(0), row(1)])["toy"]

    assert (one.images, one.objects, one.masks) == (2, 6, 6)
    assert one.samples == {"gcg": 4, "refseg": 2, "region_caption": 2, "caption": 2}
    assert one.phrases == 2 * (2 + 2 + 4 + 3 + 0)
    assert sum(one.objects_per_image) == 2
    assert sum(one.phrases_per_sample) == 10
    assert sum(one.mask_shares) == 6


def test_classes_of_counts_and_areas_have_the_right_borders():
    labelled = tuple(obj(n, 0, 0, 16, 12, labels=("cat", "pet")) for n in range(5))
    one = count([(grounded(objects=labelled),)])["toy"]

    assert one.concepts == {"cat": 5}
    assert dict(plots_of(one)["Objects on an image"])["5 to 9"] == 1
    assert one.mask_shares[AREA_EDGES.index(0.25)] == 5  # 16 x 12 of 24 x 32 is a quarter


def test_names_of_classes():
    names = edge_names(COUNT_EDGES)
    assert (names[0], names[3], names[-1]) == ("0", "3 to 4", "100 and more")
    assert edge_names(AREA_EDGES) == [
        "to 0.1%", "to 1%", "to 5%", "to 10%", "to 25%", "to 50%", "over 50%",
    ]  # fmt: skip


def test_page_holds_tables_and_plots_and_escapes_what_files_say(tmp_path):
    evil = (obj(0, 0, 0, 4, 4, labels=("<script>alert(1)</script>",)),)
    writer = ShardWriter(tmp_path / "train", shard_bytes=1 << 20)
    writer.add((grounded(objects=evil, turns=row(0)[4].turns),), jpeg())
    writer.close()

    counted = count_shards(tmp_path)
    write_page(counted, tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert list(counted) == [("train", "toy")]
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 4


def test_no_shards_is_said(tmp_path):
    with pytest.raises(DataError, match="run glamm data prepare"):
        count_shards(tmp_path)
