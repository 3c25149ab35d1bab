import json
import os
import shutil

import litdata
import msgpack
import numpy as np
import pytest
from litdata import helpers

from glamm.data.shards.codec import pack, unpack
from glamm.data.shards.reader import ShardReader, ShardWriter
from glamm.errors import DataError
from glamm.text.render import expected_words
from tests.builders.data import grounded, row


@pytest.fixture
def folder(tmp_path):
    """Nine rows in several files."""
    writer = ShardWriter(tmp_path / "train", shard_bytes=12_000)
    for seed in range(9):
        samples = row(seed)
        writer.add(samples, samples[0].image.data)
    writer.close()
    return tmp_path / "train"


def test_packing_keeps_everything():
    samples = row(3)

    assert unpack(pack(samples), image_bytes=samples[0].image.data) == samples


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", pack(row(0))[:-5]])
def test_damaged_bytes_are_an_error_that_says_what_to_do(data):
    with pytest.raises(DataError, match="run glamm data prepare again"):
        unpack(data, image_bytes=b"")


def test_rows_come_back_as_they_went_in(folder):
    reader = ShardReader(folder)

    assert len(list(folder.glob("chunk-*.bin"))) > 1
    assert [reader[index] for index in range(len(reader))] == [row(seed) for seed in range(9)]
    with pytest.raises(IndexError):
        reader[9]


def test_streams_say_where_each_kind_is(folder):
    reader = ShardReader(folder)

    streams = {stream.group: stream for stream in reader.streams}

    assert {group: len(stream) for group, stream in streams.items()} == {
        "grounded_conversation": 18,
        "referring_segmentation": 9,
        "region_captioning": 9,
        "image_captioning": 9,
    }
    for number, place, words in streams["region_captioning"].places.tolist():
        sample = reader[number][place]
        assert sample.task == "region_caption"
        assert words == expected_words(sample) > 0


def test_streams_of_another_version_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "old")
    file = tmp_path / "old/streams/image_captioning/toy.npy"
    np.save(file, np.load(file)[:, :2])

    with pytest.raises(DataError, match=r"toy\.npy: has shape \(9, 2\), not .* data prepare again"):
        ShardReader(tmp_path / "old")


def test_litdata_reads_the_same_rows(folder, monkeypatch):
    """The shards stay readable by everything that knows LitData, not only by us."""
    monkeypatch.setattr(helpers, "_LITDATA_DISABLE_VERSION_CHECK", 1)
    theirs = litdata.StreamingDataset(str(folder))
    ours = ShardReader(folder)

    assert len(theirs) == len(ours)
    for index in (0, 4, 8):
        row = theirs[index]
        assert unpack(bytes(row["sample"]), image_bytes=bytes(row["image"])) == ours[index]


def test_nothing_in_the_shards_depends_on_the_day_or_the_place(folder, tmp_path):
    index = json.loads((folder / "index.json").read_text())
    writer = ShardWriter(tmp_path / "elsewhere", shard_bytes=12_000)
    for seed in range(9):
        writer.add(row(seed), row(seed)[0].image.data)
    writer.close()

    assert (tmp_path / "elsewhere/index.json").read_bytes() == (folder / "index.json").read_bytes()
    assert str(tmp_path) not in json.dumps(index)


def test_cut_file_is_found_before_training(folder):
    path = sorted(folder.glob("chunk-*.bin"))[1]
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(DataError, match=rf"{path.name}: has \d+ of \d+ bytes"):
        ShardReader(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"chunks": [{}]}'], ids=["empty", "cut", "list", "no name"]
)
def test_damaged_index_is_an_error(folder, content):
    (folder / "index.json").write_text(content)

    with pytest.raises(DataError, match="is no shard index"):
        ShardReader(folder)


def test_folder_without_shards_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="holds no shards: run glamm data prepare"):
        ShardReader(tmp_path)


def test_damaged_stream_is_an_error(folder):
    path = next((folder / "streams").glob("*/*.npy"))
    path.write_bytes(b"no array")

    with pytest.raises(DataError, match="is damaged"):
        ShardReader(folder)


def test_schema_of_another_version_is_refused():
    data = msgpack.Packer().pack({"schema": 99})

    with pytest.raises(DataError, match="schema 99"):
        unpack(data, image_bytes=b"")


def test_image_stands_once_however_many_samples_it_has():
    one, five = len(pack((grounded(),))), len(pack(row(0)))

    assert five < one + 600
