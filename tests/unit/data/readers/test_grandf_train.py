import json
import re

import pytest

from glamm.data.preparation.check import CheckedRecord
from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.structures.issue import Issue
from tests.builders.data import human_annotated_root, jpeg, rectangle


def read(root):
    return list(read_checked(READERS_BY_NAME["granddf_ha_gcg"], root))


def change(path, index, **values):
    records = json.loads(path.read_text())
    records[index] |= values
    path.write_text(json.dumps(records))


def rle(mask):
    return {"size": list(mask.size), "counts": mask.counts.decode()}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"caption": None}, "is missing"),
        ({"caption": 7}, "must be text, is int"),
        ({"groundings": []}, "no grounding"),
        ({"groundings": "A cube"}, "must be an object, is text"),
        ({"file_name": "/etc/passwd"}, "there is no image '/etc/passwd'"),
        ({"file_name": "none.jpg"}, "there is no image 'none.jpg'"),
        ({"file_name": "x" * 300}, "is no file name"),
        ({"groundings": {"A cube": {"token_positives": [0, 6], "rle_masks": [{"size": [24, 32], "counts": "0"}]}}}, "add up to"),
        ({"groundings": {"A cube": {"token_positives": [0, 6], "rle_masks": [{"size": [24, 32], "counts": [760]}]}}}, "add up to"),
        ({"groundings": {"A cube": {"token_positives": [0, 6], "rle_masks": [{"size": [24], "counts": ""}]}}}, "needs a size"),
        ({"groundings": {"A cube": {"token_positives": [0, 6], "rle_masks": [rle(rectangle(0, 0, 0, 0))]}}}, "empty mask"),
        ({"groundings": {"A dog": {"token_positives": [90, 96], "rle_masks": [rle(rectangle(0, 0, 3, 3))]}}}, "can be grounded"),
    ],
    ids=[
        "no caption", "number as caption", "empty groundings", "text as groundings", "absolute path",
        "no image", "long name", "short runs", "uncompressed", "no size", "empty mask", "absent phrase",
    ],
)  # fmt: skip
def test_bad_record_is_left_out_with_its_reason(tmp_path, values, reason):
    change(human_annotated_root(tmp_path), 2, **values)

    found = read(tmp_path)

    assert [i.record.location.record for i in found if isinstance(i, CheckedRecord)] == [
        "0",
        "1",
        "3",
        "4",
    ]
    left_out = [item for item in found if isinstance(item, Issue)]
    assert {item.location.record for item in left_out} == {"2"}
    assert re.search(reason, " ".join(item.reason for item in left_out))


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99], ids=["half", "most", "nearly all"])
def test_truncated_image_is_left_out(tmp_path, kept):
    human_annotated_root(tmp_path)
    path = tmp_path / "GranDf_HA_images/train/sa_1.jpg"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])

    found = read(tmp_path)

    assert sum(isinstance(item, CheckedRecord) for item in found) == 4
    [issue] = [item for item in found if isinstance(item, Issue)]
    assert issue.location.record == "1"


def test_link_out_of_the_root_is_not_followed(tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(jpeg())
    root = tmp_path / "root"
    human_annotated_root(root)
    linked = root / "GranDf_HA_images/train/sa_3.jpg"
    linked.unlink()
    linked.symlink_to(outside)

    [issue] = [item for item in read(root) if isinstance(item, Issue)]

    assert "link that leaves" in issue.reason


def test_offsets_outside_the_caption_are_searched_for(tmp_path):
    path = human_annotated_root(tmp_path)
    grounding = json.loads(path.read_text())[0]["groundings"]["A cube"]
    change(
        path,
        0,
        caption="Look: a CUBE.",
        groundings={"A cube": grounding | {"token_positives": [50, 60]}},
    )

    [span] = read(tmp_path)[0].record.samples[0].turns[1].spans

    assert (span.start, span.end) == (6, 12)


def test_masks_under_one_phrase_are_united_and_nested_phrases_lose_the_shorter(tmp_path):
    path = human_annotated_root(tmp_path)
    groundings = {
        "A cube": {
            "token_positives": [0, 6],
            "rle_masks": [rle(rectangle(0, 0, 5, 5)), rle(rectangle(3, 3, 8, 8))],
        },
        "cube": {"token_positives": [2, 6], "rle_masks": [rle(rectangle(9, 9, 12, 12))]},
    }
    change(path, 0, groundings=groundings)

    issue, checked = read(tmp_path)[:2]

    assert "'cube' overlaps a longer phrase" in str(issue)
    [span] = checked.record.samples[0].turns[1].spans
    assert span.object_ids == (0, 1)
