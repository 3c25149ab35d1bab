from dataclasses import replace

import msgpack
import pytest

from glamm.data.shards.codec import pack, unpack
from glamm.errors import DataError
from glamm.structures.sample import SCHEMA_VERSION, Frame
from tests.builders.data import grounded, image_samples


def test_unpack_is_inverse_of_pack():
    samples = image_samples(3)

    assert unpack(pack(samples), image_bytes=samples[0].image.data) == samples


@pytest.mark.parametrize("frame", Frame)
def test_frame_of_the_annotations_is_kept(frame):
    sample = grounded()
    sample = replace(sample, image=replace(sample.image, frame=frame))

    assert unpack(pack((sample,)), image_bytes=sample.image.data) == (sample,)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", pack(image_samples(0))[:-5]],
    ids=["empty", "no_msgpack", "no_keys", "list", "truncated"],
)
def test_damaged_bytes_are_an_error_that_says_what_to_do(data):
    with pytest.raises(DataError, match="run glamm data prepare again"):
        unpack(data, image_bytes=b"")


def test_another_schema_version_is_refused():
    data = msgpack.Packer().pack({"schema": 99})

    with pytest.raises(
        DataError, match=f"the shards have schema 99, and this glamm reads {SCHEMA_VERSION}"
    ):
        unpack(data, image_bytes=b"")


def test_objects_are_stored_once_for_all_samples_of_an_image():
    one, five = len(pack((grounded(),))), len(pack(image_samples(0)))

    assert five < one + 600
