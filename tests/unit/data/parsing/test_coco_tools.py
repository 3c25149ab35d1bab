import json

import pytest

from glamm.data.parsing.coco_json import read_coco
from glamm.data.parsing.coco_tools import frame_of, scaled
from glamm.structures.sample import Frame


@pytest.mark.parametrize(
    ("name", "info", "attributes", "frame"),
    [
        ("train", {"description": "Exported from roboflow.com"}, {}, Frame.TURNED),
        ("train", {"url": "https://voxel51.com/fiftyone"}, {}, Frame.TURNED),
        ("train", {"contributor": "Label Studio"}, {}, Frame.TURNED),
        ("train", {}, {"occluded": False, "rotation": 0.0}, Frame.TURNED),
        ("_annotations.coco", None, {}, Frame.TURNED),
        ("instances_default", [], {}, Frame.TURNED),
        ("instances_train", {"description": "COCO 2017 Dataset"}, None, Frame.BY_SIZE),
    ],
    ids=["roboflow", "fiftyone", "label studio", "cvat", "roboflow name", "cvat name", "other"],
)
def test_tool_is_known_by_what_it_writes(tmp_path, name, info, attributes, frame):
    content = {
        "info": info,
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "attributes": attributes}],
    }
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(content))

    assert frame_of(path, read_coco(tmp_path, path)) is frame


def test_polygons_are_scaled_and_other_parts_stay():
    code = {"size": [2, 2], "counts": [4]}
    annotation = {"id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4.5, None], code]}

    assert scaled(annotation, (2.0, 10.0)) == {
        "id": 1,
        "bbox": None,
        "segmentation": [[2, 20, 6, 45, None], code],
    }
    assert scaled(annotation, (1.0, 1.0)) is annotation
