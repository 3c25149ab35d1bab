import os
import shutil

import numpy as np
import pytest

from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.text.render import estimate_num_words
from tests.builders.data import image_samples, write_shards


@pytest.fixture
def folder(tmp_path):
    """Nine images in several shards."""
    write_shards(tmp_path / "train", range(9), shard_bytes=12_000)
    return tmp_path / "train"


def test_images_come_back_as_they_were_written(folder):
    reader = ShardReader(folder)

    assert len(reader.shards) > 1
    assert [reader[index] for index in range(len(reader))] == [
        image_samples(seed) for seed in range(9)
    ]
    with pytest.raises(IndexError, match="image 9 of 9"):
        reader[9]


def test_streams_list_the_samples_of_each_task_group(folder):
    reader = ShardReader(folder)

    streams = {stream.group: stream for stream in reader.streams}

    assert {group: len(stream) for group, stream in streams.items()} == {
        "grounded_conversation": 18,
        "referring_segmentation": 9,
        "region_captioning": 9,
        "image_captioning": 9,
    }
    for image, index, num_words in streams["region_captioning"].entries.tolist():
        sample = reader[image][index]
        assert sample.task == "region_caption"
        assert num_words == estimate_num_words(sample) > 0


def test_stream_of_another_version_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "old")
    file = tmp_path / "old/streams/image_captioning/toy.npy"
    np.save(file, np.load(file)[:, :2])

    with pytest.raises(DataError, match=r"toy\.npy: has shape \(9, 2\), not .* data prepare again"):
        ShardReader(tmp_path / "old")


def test_truncated_shard_is_refused_before_training(folder):
    path = sorted(folder.glob("chunk-*.bin"))[1]
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(DataError, match=rf"{path.name}: has \d+ of \d+ bytes"):
        ShardReader(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"chunks": [{}]}'], ids=["empty", "cut", "list", "no_name"]
)
def test_damaged_index_is_refused(folder, content):
    (folder / "index.json").write_text(content)

    with pytest.raises(DataError, match="is no shard index"):
        ShardReader(folder)


def test_folder_without_shards_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="holds no shards: run glamm data prepare"):
        ShardReader(tmp_path)


def test_damaged_stream_is_refused(folder):
    path = next((folder / "streams").glob("*/*.npy"))
    path.write_bytes(b"no array")

    with pytest.raises(DataError, match="is damaged"):
        ShardReader(folder)
