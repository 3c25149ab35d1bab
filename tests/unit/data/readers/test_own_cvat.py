import math
import re
import shutil
from pathlib import Path

import pytest

from glamm.geometry import masks
from glamm.structures.sample import ImageRef
from tests.builders.data import SIZE, jpeg
from tests.builders.own_data import areas_by_text, cvat_root, read_records


def test_boxes_polygons_and_masks_are_read(tmp_path):
    records, issues = read_records("cvat", cvat_root(tmp_path), "train")

    assert len(records) == 2
    [sample] = records[0].samples
    assert areas_by_text(sample) == {"cup": 100 + 78, "spoon": 5}
    assert masks.box_of(sample.objects[-1].mask) == (4, 20, 7, 22)
    assert "field polyline 3: this kind of shape is not supported (polyline 'edge')" in issues[0]


def test_subset_of_an_image_is_its_split(tmp_path):
    records, _ = read_records("cvat", cvat_root(tmp_path), "val")

    assert [record.location.record for record in records] == ["image 2"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name="1.jpg"', 'name="../1.jpg"', "is no file name"),
        ('xbr="12"', 'xbr="nan"', "not finite"),
        ('xbr="12"', "", r"box 0\.xbr: is missing \(box 'cup'\)"),
        ("20.0,2.0;30.0,2.0;30.0,18.0", "20.0,2.0;30.0", "a polygon needs three points"),
        ("20.0,2.0;", "twenty,2.0;", "must be a number, is 'twenty'"),
        ('rle="1,2,1,3,1"', 'rle="1,2,1"', "runs add up to 4 pixels"),
        ('left="4"', 'left="40"', "is not inside the image"),
        ('label="cup" xtl', 'label="" xtl', r"box 0\.label: is empty \(box ''\)"),
        ('ybr="12"', 'ybr="12" rotation="x"', r"box 0\.rotation: must be a number, is 'x'"),
        (
            'ytl="2" xbr="12" ybr="12"',
            'ytl="90" xbr="12" ybr="99"',
            r"box 0: covers no pixel .* \(box 'cup'\)",
        ),
    ],
    ids=[
        "outside",
        "nan",
        "no corner",
        "two points",
        "text",
        "short runs",
        "outside the image",
        "no label",
        "rotation",
        "no pixel",
    ],
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
        (
            '<annotations><track id="0" label="a"><box frame="0" xtl="1"/></track></annotations>',
            'holds tracks of a video, which are not read: export it as "CVAT for images 1.1"',
        ),
    ],
    ids=["truncated", "external entity", "nested entities", "video"],
)
def test_file_that_cannot_be_read_is_left_out_alone(tmp_path, text, reason):
    shutil.copy(cvat_root(tmp_path) / "annotations.xml", tmp_path / "b.xml")
    (tmp_path / "annotations.xml").write_text(text)

    records, issues = read_records("cvat", tmp_path, "train")

    assert len(records) == 2
    assert re.search(rf"^file annotations\.xml, record train: .*{reason}", issues[0])


def write_xml(root, *images, meta=""):
    """An export with these `<image>` elements."""
    text = f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(images)}</annotations>"
    (root / "annotations.xml").write_text(text, encoding="utf-8")
    return root


def image_element(name, shapes="", *, number=0, size=(120, 160), **attributes):
    others = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<image id="{number}" name="{name}" width="{size[1]}" height="{size[0]}"{others}>{shapes}</image>'


BOX = '<box label="cup" xtl="2.00" ytl="2.00" xbr="12.00" ybr="12.00"/>'


def shapes_root(root, shapes):
    """One image of 120 x 160 pixels with these shapes."""
    (root / "images").mkdir()
    (root / "images/a.jpg").write_bytes(jpeg((120, 160)))
    return write_xml(root, image_element("a.jpg", shapes))


def box_of_only_object(root):
    [record], issues = read_records("cvat", root)
    [obj] = record.samples[0].objects
    assert not issues
    return obj.box, masks.area(obj.mask)


@pytest.mark.parametrize("rotation", ["90.00", "-90", "270.0", "450", "-630.00"])
def test_box_turned_by_a_quarter_has_its_sides_swapped(tmp_path, rotation):
    box = f'<box label="plank" xtl="20" ytl="40" xbr="60" ybr="48" rotation="{rotation}"/>'

    box, area = box_of_only_object(shapes_root(tmp_path, box))

    assert (box, area) == ((36, 24, 44, 64), 8 * 40)


def test_box_is_turned_clockwise_about_its_middle(tmp_path):
    thin = '<box label="beam" xtl="40" ytl="58" xbr="120" ybr="62" rotation="30.00" z_order="1"/>'
    [record], _ = read_records("cvat", shapes_root(tmp_path, thin))
    [obj] = record.samples[0].objects
    pixels = masks.decode(obj.mask)

    # the right end of a beam turned clockwise is below its left end
    assert masks.area(obj.mask) == pytest.approx(320, abs=20)
    assert pixels[60 + 17, 80 + 30]
    assert pixels[60 - 17, 80 - 30]
    assert not pixels[60 - 17, 80 + 30]


@pytest.mark.parametrize(
    ("rotation", "half_width", "half_height"),
    [("", 20, 10), (' rotation="90"', 10, 20), (' rotation="45.00"', 15.8, 15.8)],
    ids=["upright", "quarter", "slanting"],
)
def test_ellipse_has_its_area_and_extent(tmp_path, rotation, half_width, half_height):
    ellipse = f'<ellipse label="plate" cx="80.00" cy="60.00" rx="20.00" ry="10.00"{rotation}/>'

    (x1, y1, x2, y2), area = box_of_only_object(shapes_root(tmp_path, ellipse))

    assert area == pytest.approx(math.pi * 20 * 10, rel=0.02)
    assert ((x2 - x1) / 2, (y2 - y1) / 2) == pytest.approx((half_width, half_height), abs=0.8)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((80, 60), abs=0.6)


@pytest.mark.parametrize(
    "shape",
    [
        '<points label="a" points="5.00,6.00"/>',
        '<polyline label="a" points="5.00,6.00;7.00,8.00"/>',
        '<cuboid label="a" xtl1="1" ytl1="1" xbl1="1" ybl1="5"/>',
        '<tag label="a" source="manual"/>',
        '<skeleton label="a"><points label="head" outside="0" points="5,6"/></skeleton>',
        '<hologram label="a"/>',
    ],
    ids=lambda shape: shape.split()[0][1:],
)
def test_shape_without_an_area_is_called_not_supported(tmp_path, shape):
    kind = shape.split()[0][1:]
    attribute = '<attribute name="color">red</attribute>'
    root = shapes_root(tmp_path, f"{shape}{BOX.replace('/>', f'>{attribute}</box>')}")

    [record], issues = read_records("cvat", root)

    assert areas_by_text(record.samples[0]) == {"cup": 100}
    assert issues == [
        f"file annotations.xml, record image 0, field {kind} 0: this kind of shape is not supported "
        f"({kind} 'a') (left out in part)"
    ]


def test_image_whose_shapes_are_all_unsupported_says_so(tmp_path):
    _, issues = read_records("cvat", shapes_root(tmp_path, '<tag label="a"/><tag label="b"/>'))

    assert len(issues) == 3
    assert "none of its shapes (2) can be used" in issues[2]


def test_groups_are_objects_and_zero_is_no_group(tmp_path):
    polygon = '<polygon label="cup" points="{0},2;{1},2;{1},9;{0},9;" group_id="{2}"/>'
    shapes = [(2, 9, 4), (12, 19, 4), (22, 29, 0), (32, 39, 0)]
    root = shapes_root(tmp_path, "".join(polygon.format(*shape) for shape in shapes))

    [record], _ = read_records("cvat", root)

    assert [masks.area(obj.mask) for obj in record.samples[0].objects] == [98, 49, 49]


def subset_root(root: Path, *names: str) -> Path:
    """A project: an image in each subset, all with one name and each with its own pixels."""
    for number, name in enumerate(names):
        (root / "images" / name).mkdir(parents=True)
        (root / "images" / name / "f 0.jpg").write_bytes(jpeg(seed=number))
    return write_xml(
        root,
        *(
            image_element("f 0.jpg", BOX, size=SIZE, subset=name, task_id=number + 3)
            for number, name in enumerate(names)
        ),
    )


def path_of(image: ImageRef, root: Path) -> str:
    return Path(image.path).relative_to(root).as_posix()


def test_images_of_a_project_are_in_the_folders_of_their_subsets(tmp_path):
    names = ["Train", "training", "batch_7", "Validation", "VAL", "valid", "TEST"]
    root = subset_root(tmp_path, *names)

    found = {
        split: [record.samples[0] for record in read_records("cvat", root, split)[0]]
        for split in ("train", "val", "test")
    }

    paths = {split: [path_of(s.image, root) for s in samples] for split, samples in found.items()}
    assert paths == {
        "train": [f"images/{name}/f 0.jpg" for name in names[:3]],
        "val": [f"images/{name}/f 0.jpg" for name in names[3:6]],
        "test": ["images/TEST/f 0.jpg"],
    }
    everything = [sample for samples in found.values() for sample in samples]
    assert len({sample.sample_id for sample in everything}) == len(names)
    assert len({sample.image.key for sample in everything}) == len(names)


def test_image_of_another_subset_is_never_taken(tmp_path):
    root = subset_root(tmp_path, "train", "batch_7")
    (root / "images/batch_7/f 0.jpg").unlink()

    records, issues = read_records("cvat", root)

    assert len(records) == 1
    assert "record task 4 image 0, field file_name: there is no image 'f 0.jpg' in" in issues[0]


@pytest.mark.parametrize("element", ["task", "job"])
def test_split_of_a_task_is_its_subset(tmp_path, element):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(jpeg())
    meta = f"<{element}><id>3</id><subset>Validation</subset></{element}>"
    write_xml(tmp_path, image_element("a.jpg", BOX, size=SIZE), meta=meta)

    assert len(read_records("cvat", tmp_path, "val")[0]) == 1
    assert not read_records("cvat", tmp_path, "train")[0]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.jpg", "images/a.jpg"),
        ("a.jpg", "images/default/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("cam 1/day/a.jpg", "images/cam 1/day/a.jpg"),
        ("cam 1\\a.jpg", "images/cam 1/a.jpg"),
        ("frame_000000", "images/frame_000000.PNG"),
        ("v1.0_frame", "images/v1.0_frame.png"),
    ],
    ids=["images", "default", "beside", "nested", "windows", "frame of a video", "dots"],
)
def test_images_of_a_task_are_where_cvat_writes_them(tmp_path, name, path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(jpeg())
    write_xml(tmp_path, image_element(name, BOX, size=SIZE))

    [record], _ = read_records("cvat", tmp_path)

    assert path_of(record.samples[0].image, tmp_path) == path


def test_folders_may_hold_exports_of_their_own(tmp_path):
    split_of_folder = {"Train": "train", "task_12": "train", "val": "val", "Validation": "val"}
    for seed, folder in enumerate(split_of_folder):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "images/a.jpg").write_bytes(jpeg(seed=seed))
        write_xml(tmp_path / folder, image_element("a.jpg", BOX, size=SIZE))

    images = {
        (split, path_of(record.samples[0].image, tmp_path)): record.samples[0].image.key
        for split in ("train", "val", "test")
        for record in read_records("cvat", tmp_path, split)[0]
    }

    assert images == {
        (split, f"{folder}/images/a.jpg"): f"{folder}/a.jpg"
        for folder, split in split_of_folder.items()
    }


def test_image_of_another_size_is_left_out(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    write_xml(tmp_path, image_element("a.jpg", BOX, size=(10, 10)))

    _, [issue] = read_records("cvat", tmp_path)

    assert "field height, width: are stated as 10 x 10" in issue
