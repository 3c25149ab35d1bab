import json
import re
from pathlib import Path

import pytest

from glamm.structures.sample import Task
from tests.builders.data import jpeg
from tests.builders.own_data import SQUARE, jsonl_lines, jsonl_root, read_records

OBJECT = {"id": 1, "segmentation": [SQUARE], "labels": ["cup"]}


def test_every_task_is_read(tmp_path):
    records, issues = read_records("jsonl", jsonl_root(tmp_path))

    assert issues == []
    samples = [sample for record in records for sample in record.samples]
    assert [sample.task for sample in samples] == [
        Task.GROUNDED_CONVERSATION,
        Task.REFERRING_SEGMENTATION,
        Task.REGION_CAPTIONING,
        Task.IMAGE_CAPTIONING,
        Task.VQA,
        Task.PHRASE_GROUNDING,
    ]
    assert [span.object_ids for span in samples[0].turns[1].spans] == [(1,), (2,)]
    assert samples[1].targets[1].object_ids == ()
    assert samples[3].sample_id == "jsonl/train/named"


def test_example_of_the_documentation_is_read(tmp_path):
    page = (Path(__file__).parents[4] / "docs/how-to/own-data.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "train.jsonl").write_text(json.dumps(json.loads(example)))
    (tmp_path / "kitchen.jpg").write_bytes(jpeg((480, 640)))

    [record], issues = read_records("jsonl", tmp_path)

    assert issues == []
    assert [span.object_ids for span in record.samples[0].turns[1].spans] == [(1,), (2,)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"task": "dance"}, "field task: must be 'gcg', 'refseg'"),
        ({"image": None}, "field image: is missing"),
        ({"image": {"file": "/etc/passwd"}}, "is no file name"),
        ({"image": {"file": "0.jpg", "height": 5, "width": 5}}, "the image is 24 x 32"),
        ({"image": {"file": "0.jpg", "frame": "up"}}, r"field image\.frame: must be 'turned', 'stored'"),
        ({"image": {"file": "0.jpg", "height": "tall"}}, r"field image\.height: must be a whole number"),
        ({"objects": []}, "object 1, which does not exist"),
        ({"objects": [{"id": 1}]}, r"objects\[0\]: needs a bbox"),
        ({"objects": [OBJECT, {"id": True}]}, r"field objects\[1\]\.id: must be a whole number"),
        ({"objects": [OBJECT | {"bbox": [1, 2, 1, 3]}]}, r"field objects\[0\]\.bbox: has no area"),
        ({"objects": [OBJECT | {"labels": [3]}]}, r"field objects\[0\]\.labels\[0\]: must be text"),
        ({"turns": []}, "neither turns nor targets"),
        ({"turns": [{"text": "cup"}]}, r"field turns\[0\]\.role: is missing"),
        ({"targets": [{"text": "cup", "object_ids": [1]}]}, "either turns or targets"),
    ],
    ids=[
        "task", "no image", "outside", "other size", "frame", "height", "no object", "no box", "id", "empty box", "label",
        "no turns", "no role", "turns and targets",
    ],
)  # fmt: skip
def test_invalid_line_is_left_out_alone(tmp_path, values, reason):
    path = jsonl_root(tmp_path) / "train.jsonl"
    lines = jsonl_lines()
    lines[0] |= values
    path.write_text("\n".join(map(json.dumps, lines)))

    records, issues = read_records("jsonl", tmp_path)

    assert len(records) == 5
    assert all("train.jsonl, record line 1" in issue for issue in issues)
    assert re.search(reason, "\n".join(issues))


def test_lines_that_are_no_json_are_left_out_alone(tmp_path):
    path = jsonl_root(tmp_path) / "train.jsonl"
    path.write_bytes(b"\xff\xfe{\n" + path.read_bytes()[:-40])

    records, issues = read_records("jsonl", tmp_path)

    assert len(records) == 5
    assert "record line 1" in issues[0]
    assert "record line 7" in issues[1]
