import pytest

from glamm.data.inspection.statistics import (
    AREA_EDGES,
    COUNT_EDGES,
    bin_labels,
    count_images,
    count_shards,
    histograms,
    write_html,
)
from glamm.data.shards.writer import ShardWriter
from glamm.errors import DataError
from tests.builders.data import grounded, image_samples, jpeg, obj


def test_everything_is_counted_once():
    statistics = count_images([image_samples(0), image_samples(1)])["toy"]

    assert (statistics.images, statistics.objects, statistics.masks) == (2, 6, 6)
    assert statistics.samples == {"gcg": 4, "refseg": 2, "region_caption": 2, "caption": 2}
    assert statistics.phrases == 2 * (2 + 2 + 4 + 3 + 0)
    assert sum(statistics.objects_per_image) == 2
    assert sum(statistics.phrases_per_sample) == 10
    assert sum(statistics.mask_fractions) == 6


def test_bins_of_counts_and_areas_have_the_right_edges():
    labelled = tuple(obj(n, 0, 0, 16, 12, labels=("cat", "pet")) for n in range(5))
    statistics = count_images([(grounded(objects=labelled),)])["toy"]

    assert statistics.concepts == {"cat": 5}
    assert dict(histograms(statistics)["Objects on an image"])["5 to 9"] == 1
    assert statistics.mask_fractions[AREA_EDGES.index(0.25)] == 5  # 16 x 12 of 24 x 32 is a quarter


def test_labels_of_bins():
    labels = bin_labels(COUNT_EDGES)
    assert (labels[0], labels[3], labels[-1]) == ("0", "3 to 4", "100 and more")
    assert bin_labels(AREA_EDGES) == [
        "to 0.1%", "to 1%", "to 5%", "to 10%", "to 25%", "to 50%", "over 50%",
    ]  # fmt: skip


def test_page_has_tables_and_histograms_and_escapes_text_of_files(tmp_path):
    evil = (obj(0, 0, 0, 4, 4, labels=("<script>alert(1)</script>",)),)
    writer = ShardWriter(tmp_path / "train", shard_bytes=1 << 20)
    writer.add((grounded(objects=evil, turns=image_samples(0)[4].turns),), jpeg())
    writer.close()

    counted = count_shards(tmp_path)
    write_html(counted, tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert list(counted) == [("train", "toy")]
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 4


def test_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(DataError, match="run glamm data prepare"):
        count_shards(tmp_path)
