import json

import litdata
import pytest
from litdata import helpers

from glamm.data.shards.codec import unpack
from glamm.data.shards.reader import ShardReader
from glamm.data.shards.writer import BlockWriter, IndexWriter
from glamm.files import sha256
from tests.builders.data import image_samples, write_shards


def test_litdata_reads_the_same_images(tmp_path, monkeypatch):
    """The shards stay readable by every LitData program, not only by ours."""
    monkeypatch.setattr(helpers, "_LITDATA_DISABLE_VERSION_CHECK", 1)
    write_shards(tmp_path, range(9), shard_bytes=12_000)

    theirs = litdata.StreamingDataset(str(tmp_path))
    ours = ShardReader(tmp_path)

    assert len(theirs) == len(ours) == 9
    for index in (0, 4, 8):
        item = theirs[index]
        assert unpack(bytes(item["sample"]), image_bytes=bytes(item["image"])) == ours[index]


def test_index_depends_on_neither_day_nor_folder(tmp_path):
    for name in ("here", "elsewhere"):
        write_shards(tmp_path / name, range(9), shard_bytes=12_000)

    index = (tmp_path / "here/index.json").read_bytes()
    assert (tmp_path / "elsewhere/index.json").read_bytes() == index
    assert str(tmp_path) not in json.dumps(json.loads(index))


def test_shards_are_described_as_they_are_on_disk(tmp_path):
    writer = BlockWriter(tmp_path, name="chunk-a", shard_bytes=12_000)
    for seed in range(9):
        samples = image_samples(seed)
        writer.add(samples, samples[0].image.data)

    block = writer.close()

    assert block.num_images == 9
    assert [shard.filename for shard in block.shards] == [
        f"chunk-a-{number}.bin" for number in range(len(block.shards))
    ]
    assert len(block.shards) > 1
    for shard in block.shards:
        path = tmp_path / shard.filename
        assert (shard.num_bytes, shard.sha256) == (path.stat().st_size, sha256(path))
    assert len(list(tmp_path.iterdir())) == len(block.shards)


@pytest.mark.parametrize("sizes", [(9,), (2, 7), (4, 0, 5)], ids=["one", "two", "with_empty"])
def test_split_is_the_same_however_it_is_divided_into_blocks(tmp_path, sizes):
    index = IndexWriter(tmp_path, shard_bytes=1 << 20)
    seeds = iter(range(9))
    for number, size in enumerate(sizes):
        writer = BlockWriter(tmp_path, name=f"chunk-{number}", shard_bytes=1 << 20)
        for _ in range(size):
            samples = image_samples(next(seeds))
            writer.add(samples, samples[0].image.data)
        index.add(writer.close())
    index.close()

    reader = ShardReader(tmp_path)

    assert list(reader) == [image_samples(seed) for seed in range(9)]
    for stream in reader.streams:
        images = stream.entries[:, 0].tolist()
        assert sorted(set(images)) == list(range(9))
        assert images == sorted(images)
