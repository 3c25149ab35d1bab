import pytest

from glamm.data.inspection.as_read.grand import grand_json
from tests.builders.own_data import copy_format, edit_json, read_records

NAME = "sa_8501.jpg"


@pytest.mark.parametrize(
    ("affordances", "stale_ids"),
    [
        ({"hold": {"object_ids": [0, 77]}, "throw": {"object_ids": [78]}}, [77, 78]),
        ({"hold": {"object_ids": "all"}, "throw": 3, "cut": {"object_ids": ["x", 77]}}, [77]),
        ([1, 2], []),
        (None, []),
    ],
    ids=["objects that do not exist", "no lists", "no object", "missing"],
)
def test_stale_affordances_are_those_of_objects_that_do_not_exist(tmp_path, affordances, stale_ids):
    root = copy_format("grand", tmp_path)
    edit_json(
        root / "GranD/annotations/sa_8501.json",
        lambda content: content[NAME].update(affordances=affordances),
    )

    records, _ = read_records("grand", root, "train")

    [record] = [r for r in records if r.location.record == NAME]
    assert grand_json(record.raw, record)["stale_affordance_ids"] == stale_ids
