import re

import pytest

from glamm.errors import DataError
from glamm.geometry import masks
from tests.builders.own_data import areas_by_text, cvat_root, read_records


def test_boxes_polygons_and_masks_are_read(tmp_path):
    records, issues = read_records("cvat", cvat_root(tmp_path), "train")

    assert len(records) == 2
    [sample] = records[0].samples
    assert areas_by_text(sample) == {"cup": 100 + 78, "spoon": 5}
    assert masks.box_of(sample.objects[-1].mask) == (4, 20, 7, 22)
    assert "field polyline 3.label: 'polyline' is no shape with an area" in issues[0]


def test_subset_of_an_image_is_its_split(tmp_path):
    records, _ = read_records("cvat", cvat_root(tmp_path), "val")

    assert [record.location.record for record in records] == ["image 2"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name="1.jpg"', 'name="../1.jpg"', "is no file name"),
        ('xbr="12"', 'xbr="nan"', "not finite"),
        ("20.0,2.0;30.0,2.0;30.0,18.0", "20.0,2.0;30.0", "a polygon needs three points"),
        ("20.0,2.0;", "twenty,2.0;", "must be a number, is 'twenty'"),
        ('rle="1,2,1,3,1"', 'rle="1,2,1"', "runs add up to 4 pixels"),
        ('left="4"', 'left="40"', "is not inside the image"),
        ('label="cup" xtl', 'label="" xtl', "label: is empty"),
    ],
    ids=["outside", "nan", "two points", "text", "short runs", "outside the image", "no label"],
)
def test_invalid_shape_or_image_is_left_out_alone(tmp_path, old, new, reason):
    path = cvat_root(tmp_path) / "annotations.xml"
    path.write_text(path.read_text().replace(old, new))

    records, issues = read_records("cvat", tmp_path)

    assert len(records) >= 2
    assert any(re.search(reason, issue) for issue in issues)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotations><image", "is not XML"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations/>', "document type"),
        ('<!DOCTYPE a [<!ENTITY x "yyy"><!ENTITY z "&x;&x;">]><annotations/>', "document type"),
    ],
    ids=["truncated", "external entity", "nested entities"],
)
def test_truncated_xml_or_document_type_is_an_error(tmp_path, text, reason):
    (cvat_root(tmp_path) / "annotations.xml").write_text(text)

    with pytest.raises(DataError, match=reason):
        read_records("cvat", tmp_path)
