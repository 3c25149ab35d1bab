import json
import re
from pathlib import Path

import pytest

from glamm.data.preparation.check import Checked
from glamm.data.preparation.read_checked import read_checked
from glamm.data.readers.registry import SOURCES, find_sources
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.structures.issue import Issue
from glamm.structures.sample import Task
from tests.builders.data import jpeg
from tests.builders.own_data import OWN, cvat_root, jsonl_lines, jsonl_root, labelme_root


def read(name, root, split=None):
    found = list(read_checked(SOURCES[name], root, split))
    good = [item.record for item in found if isinstance(item, Checked)]
    return good, [str(item) for item in found if isinstance(item, Issue)]


def areas(sample):
    by_id = {obj.id: masks.area(obj.mask) for obj in sample.objects}
    return {t.text: sum(by_id[i] for i in t.object_ids) for t in sample.targets}


@pytest.mark.parametrize("name", OWN)
def test_form_is_recognised(tmp_path, name):
    assert [source.name for source in find_sources(OWN[name](tmp_path))] == [name]


def test_coco_teaches_its_categories_and_captions(tmp_path):
    records, said = read("coco", OWN["coco"](tmp_path))

    assert said == []
    assert [len(record.samples) for record in records] == [2, 2, 1]
    classes, caption = records[0].samples
    assert areas(classes) == {"cup": 100 + 78}
    assert caption.turns[1].text == "Image 0."
    assert records[1].samples[0].objects[0].is_crowd


def test_labelme_unites_the_shapes_of_a_group(tmp_path):
    records, said = read("labelme", labelme_root(tmp_path))

    assert len(records) == 3
    [sample] = records[0].samples
    assert [masks.area(obj.mask) for obj in sample.objects] == [100 + 32, 52]
    assert [(t.text, t.object_ids) for t in sample.targets] == [("cup", (0, 1))]
    assert "shapes[3].shape_type: 'line' covers nothing" in said[0]


def test_labelme_images_may_lie_beside_the_folder_of_files(tmp_path):
    root = labelme_root(tmp_path)
    (root / "annotations").mkdir()
    content = json.loads((root / "0.json").read_text()) | {"imagePath": "..\\0.jpg"}
    (root / "annotations/0.json").write_text(json.dumps(content))

    records, _ = read("labelme", root)

    assert len(records) == 4


def test_cvat_reads_boxes_polygons_and_masks(tmp_path):
    records, said = read("cvat", cvat_root(tmp_path), "train")

    assert len(records) == 2
    [sample] = records[0].samples
    assert areas(sample) == {"cup": 100 + 78, "spoon": 5}
    assert masks.box_of(sample.objects[-1].mask) == (4, 20, 7, 22)
    assert "polyline 3.label: 'polyline' covers nothing" in said[0]
    assert len(read("cvat", tmp_path, "val")[0]) == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name="1.jpg"', 'name="../1.jpg"', "is no file name"),
        ('xbr="12"', 'xbr="nan"', "not finite"),
        ("20.0,2.0;30.0,2.0;30.0,18.0", "20.0,2.0;30.0", "a polygon needs three points"),
        ("20.0,2.0;", "twenty,2.0;", "must be a number, is 'twenty'"),
        ('rle="1,2,1,3,1"', 'rle="1,2,1"', "runs add up to 4 pixels"),
        ('left="4"', 'left="40"', "is not inside the image"),
        ('label="cup" xtl', 'label="" xtl', "has no words"),
    ],
)
def test_bad_shape_in_cvat_is_named(tmp_path, old, new, reason):
    path = cvat_root(tmp_path) / "annotations.xml"
    path.write_text(path.read_text().replace(old, new))

    records, said = read("cvat", tmp_path)

    assert len(records) >= 2
    assert any(re.search(reason, line) for line in said)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotations><image", "is not XML"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations/>', "document type"),
        ('<!DOCTYPE a [<!ENTITY x "yyy"><!ENTITY z "&x;&x;">]><annotations/>', "document type"),
    ],
)
def test_xml_that_is_cut_or_points_elsewhere_is_refused(tmp_path, text, reason):
    path = cvat_root(tmp_path) / "annotations.xml"
    path.write_text(text)

    with pytest.raises(DataError, match=reason):
        read("cvat", tmp_path)


def test_a_line_of_every_task_is_read(tmp_path):
    records, said = read("jsonl", jsonl_root(tmp_path))

    assert said == []
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


def test_the_example_of_the_documentation_is_right(tmp_path):
    page = (Path(__file__).parents[4] / "docs/how-to/own-data.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "train.jsonl").write_text(json.dumps(json.loads(example)))
    (tmp_path / "kitchen.jpg").write_bytes(jpeg((480, 640)))

    [record], said = read("jsonl", tmp_path)

    assert said == []
    assert [span.object_ids for span in record.samples[0].turns[1].spans] == [(1,), (2,)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"task": "dance"}, "field task: must be one of gcg, refseg"),
        ({"image": {"file": "/etc/passwd"}}, "is no file name"),
        ({"image": {"file": "0.jpg", "height": 5, "width": 5}}, "the image is 24 x 32"),
        ({"objects": []}, "means object 1, which is not there"),
        ({"objects": [{"id": 1}]}, r"objects\[0\]: needs a bbox"),
        ({"turns": []}, "neither turns nor targets"),
        ({"targets": [{"text": "cup", "object_ids": [1]}]}, "either turns or targets"),
    ],
)
def test_bad_line_is_left_out_by_its_number(tmp_path, values, reason):
    path = jsonl_root(tmp_path) / "train.jsonl"
    lines = jsonl_lines()
    lines[0] |= values
    path.write_text("\n".join(map(json.dumps, lines)))

    records, said = read("jsonl", tmp_path)

    assert len(records) == 5
    assert all("train.jsonl, record line 1" in line for line in said)
    assert re.search(reason, "\n".join(said))


def test_line_that_is_cut_spoils_only_itself(tmp_path):
    path = jsonl_root(tmp_path) / "train.jsonl"
    path.write_bytes(b"\xff\xfe{\n" + path.read_bytes()[:-40])

    records, said = read("jsonl", tmp_path)

    assert len(records) == 5
    assert "record line 1" in said[0]
    assert "record line 7" in said[1]


@pytest.mark.parametrize("name", OWN)
def test_folder_that_leads_out_is_not_even_listed(tmp_path, name):
    outside = OWN[name](tmp_path / "outside")
    root = tmp_path / "root"
    root.mkdir()
    (root / "annotations").symlink_to(outside / "annotations" if name == "coco" else outside)
    (root / "images").symlink_to(outside)

    if SOURCES[name].is_in(root):
        with pytest.raises(DataError, match="points outside"):
            read(name, root)
