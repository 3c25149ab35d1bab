"""Images of published data sets are found however their names are written."""

import json
import pickle  # noqa: TID251 - rewrites the references of RefCOCO
from pathlib import PurePosixPath

import pytest

from glamm.data.readers.registry import READERS_BY_NAME
from tests.builders.data import FORMATS
from tests.builders.own_data import copy_format, read_records

FIELDS = {"file_name", "img_file_name", "image"}

WAYS = {
    "windows": lambda name: ".\\" + name.replace("/", "\\"),
    "folder": lambda name: f"train2014/{name}",
    "url": lambda name: f"http://images.example.org/train2017/{name}?size=full",
    "escaped url": lambda name: f"https://example.org/my%20data/{name}",
    "absolute": lambda name: f"/home/anna/data/{name}",
    "drive": lambda name: "D:\\data\\" + name.replace("/", "\\"),
    "blanks": lambda name: f" {name} ",
    "capitals": lambda name: str(
        PurePosixPath(name).with_suffix(PurePosixPath(name).suffix.upper())
    ),
    "no suffix": lambda name: str(PurePosixPath(name).with_suffix("")),
}
NAMES = sorted({path.name for path in FORMATS.iterdir()} - {"ade20k", "coco_stuff", "mapillary"})


def renamed(value, way):
    """A JSON value with all names of images in another way."""
    if isinstance(value, list):
        return [renamed(item, way) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) and all(key.endswith(".jpg") for key in value):  # GranD's keys
        return {way(key): item for key, item in value.items()}
    return {
        key: way(item) if key in FIELDS and isinstance(item, str) else renamed(item, way)
        for key, item in value.items()
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_names_of_images_may_be_written_in_other_ways(tmp_path, name, way):
    root = copy_format(name, tmp_path)
    for path in root.rglob("*.json"):
        content = renamed(json.loads(path.read_text(encoding="utf-8")), WAYS[way])
        path.write_text(json.dumps(content), encoding="utf-8")
    for path in root.rglob("*.p"):
        content = renamed(pickle.loads(path.read_bytes()), WAYS[way])  # noqa: S301 - our own
        path.write_bytes(pickle.dumps(content, 2))

    records, issues = read_records(name, root)
    expected, expected_issues = read_records(name, FORMATS / name / "root")

    assert [record.samples for record in records]
    assert len(issues) == len(expected_issues)
    for record, same in zip(records, expected, strict=True):
        assert [s.objects for s in record.samples] == [s.objects for s in same.samples]
        assert record.samples[0].image.key == same.samples[0].image.key


@pytest.mark.parametrize(
    "name", ["../../secret.jpg", "a/../../secret.jpg", "http://x/%2e%2e/%2e%2e/secret.jpg"]
)
def test_names_that_lead_outside_are_refused(tmp_path, name):
    root = copy_format("llava_instruct_150k", tmp_path / "set")
    (tmp_path / "secret.jpg").write_bytes(
        (root / "coco_2017/train2017/000000002250.jpg").read_bytes()
    )
    path = root / "llava_dataset/llava_instruct_150k.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content[0]["image"] = name
    path.write_text(json.dumps(content), encoding="utf-8")

    _, issues = read_records("llava_instruct_150k", root)

    assert ["is no file name inside the image folder" in issue for issue in issues] == [True]


def test_image_of_paco_may_be_named_without_its_folder(tmp_path):
    root = copy_format("paco_lvis", tmp_path)
    path = root / "paco_lvis/annotations/paco_lvis_v1_train.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for image in content["images"]:
        image["file_name"] = image["file_name"].rpartition("/")[2]
    path.write_text(json.dumps(content), encoding="utf-8")

    records, _ = read_records("paco_lvis", root)

    assert len(records) == 3


def test_image_named_only_by_its_url_is_found(tmp_path):
    root = copy_format("coco_captions_2017", tmp_path)
    path = root / "coco_2017/annotations/captions_train2017.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for image in content["images"]:
        image["coco_url"] = f"http://images.example.org/train2017/{image.pop('file_name')}"
    path.write_text(json.dumps(content), encoding="utf-8")

    records, issues = read_records("coco_captions_2017", root, "train")

    assert issues == []
    assert len(records) == 3


def test_every_set_with_named_images_is_tried():
    assert set(NAMES) < set(READERS_BY_NAME)
    assert len(NAMES) == 20
