"""The files of a drawn data set: official layouts, the same bytes however they were made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from glamm.config.synthetic import SynthConfig
from glamm.data.readers.registry import READERS_BY_NAME
from glamm.errors import DataError
from glamm.structures.issue import Issue
from glamm.synthetic.dataset import write_dataset

CONFIG = SynthConfig(image_size=96, num_grand=40, num_train=40, num_val=6, num_test=6)
Digest = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "out"
    write_dataset(folder, CONFIG, workers=1)
    return folder


@pytest.fixture(scope="module")
def images(root: Path) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for path in (root / "GranD/annotations").glob("*.json"):
        merged |= json.loads(path.read_text())
    return merged


@pytest.fixture(scope="module")
def train(root: Path) -> list[dict[str, Any]]:
    return json.loads((root / "GranDf/annotations/train/GranDf_HA_GCG_train.json").read_text())


def decode(rle: dict[str, Any]) -> np.ndarray:
    return coco.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)


def test_every_image_is_a_readable_jpeg_with_its_annotation(root: Path, images, train) -> None:
    files = {path.name for path in (root / "GranD_Data/images").iterdir()}
    assert files == set(images)
    assert {record["file_name"] for record in train} == {
        path.name for path in (root / "GranDf_HA_images/train").iterdir()
    }
    for path in root.rglob("*.jpg"):
        assert cv2.imread(str(path)).shape == (96, 96, 3)


def test_no_image_is_in_two_splits(root: Path) -> None:
    paths = [path for path in root.rglob("*.jpg") if "coco_2014" not in path.parts]
    contents = [path.read_bytes() for path in paths]
    names = [path.name for path in paths]
    assert len(contents) == len(set(contents)) == len(set(names)) == 92


def test_referring_expressions_are_about_the_images_of_val(root: Path) -> None:
    for path in (root / "coco_2014/train2014").iterdir():
        assert (root / "GranDf_HA_images/val_test" / path.name).read_bytes() == path.read_bytes()
    found = list(READERS_BY_NAME["refcocog"].read(root, "val"))
    assert not [item for item in found if isinstance(item, Issue)]
    assert len(found) == 6
    for record in found:
        (sample,) = record.samples
        texts = [target.text for target in sample.targets]
        assert len(texts) == len(set(texts)) > 0  # each fits one object only


def test_readers_read_every_record_without_an_issue(root: Path) -> None:
    for name, split, count in (
        ("grand", "train", 40), ("granddf_ha_gcg", "train", 40),
        ("granddf_val_test", "val", 6), ("granddf_val_test", "test", 6),
    ):  # fmt: skip
        found = list(READERS_BY_NAME[name].read(root, split))
        assert not [item for item in found if isinstance(item, Issue)]
        assert len(found) == count


def test_masks_of_an_image_are_disjoint_and_boxes_are_tight(images) -> None:
    for image in images.values():
        masks = np.stack([decode(obj["segmentation"]) for obj in image["objects"]])
        assert masks.sum(axis=0).max() <= 1
        for mask, obj in zip(masks, image["objects"], strict=True):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert obj["bbox"] == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert mask.sum() >= 5


def test_grand_record_has_every_field_of_the_release(images) -> None:
    for image in images.values():
        assert set(image) == {
            "objects", "floating_objects", "floating_attributes", "landmark", "affordances", "id_counter",
            "relationships", "short_captions", "dense_caption", "additional_context",
        }  # fmt: skip
        assert len(image["short_captions"]) == 2
        assert [obj["id"] for obj in image["objects"]] == list(range(len(image["objects"])))
        assert image["landmark"]["category"].endswith(" scene")
        for use in image["affordances"].values():
            assert [image["objects"][index]["label"] for index in use["object_ids"]] == use[
                "labels"
            ]


def test_positions_are_those_of_the_phrases(images, train) -> None:
    for image in images.values():
        for caption in (*image["short_captions"], image["dense_caption"]):
            for detail in caption["details"]:
                start, end = detail["tokens_positive"]
                assert caption["caption"][start:end] == detail["phrase"]
    for record in train:
        for phrase, grounding in record["groundings"].items():
            start, end = grounding["token_positives"]
            assert record["caption"][start:end] == phrase


def test_dense_captions_name_every_object_once_in_any_order(images) -> None:
    are_in_order = []
    for image in images.values():
        details = image["dense_caption"]["details"]
        named = [index for detail in details for index in detail["ids"]]
        assert sorted(named) == list(range(len(image["objects"])))
        phrases = [detail["phrase"].lower() for detail in details]
        assert len(phrases) == len(set(phrases))
        lefts = [image["objects"][detail["ids"][0]]["bbox"] for detail in details]
        middles = [(box[0] + box[2]) / 2 for box in lefts]
        are_in_order.append(middles == sorted(middles))
    assert not all(are_in_order)


def test_grounded_captions_go_from_left_to_right(train) -> None:
    for record in train:
        groundings = sorted(
            record["groundings"].values(), key=lambda grounding: grounding["token_positives"]
        )
        columns = [
            np.flatnonzero(decode(grounding["rle_masks"][0]).any(0)) for grounding in groundings
        ]
        middles = [first_and_last[[0, -1]].mean() for first_and_last in columns]
        assert middles == sorted(middles)


def test_short_details_point_to_the_box_of_their_object(images) -> None:
    for image in images.values():
        for caption in image["short_captions"]:
            assert caption["caption"] == caption["caption"].lower()
            for detail in caption["details"]:
                assert detail["bbox"] == image["objects"][detail["id"]]["bbox"]


def test_labels_and_masks_of_the_evaluation_files_pair_up(root: Path) -> None:
    for split in ("val", "test"):
        folder = root / "GranDf/annotations/val_test"
        captions = json.loads((folder / f"{split}_gcg_coco_caption_gt.json").read_text())
        masks = json.loads((folder / f"{split}_gcg_coco_mask_gt.json").read_text())
        assert len(captions["annotations"]) == len(captions["images"]) == 6
        for entry in captions["annotations"]:
            entry_masks = [
                item for item in masks["annotations"] if item["image_id"] == entry["image_id"]
            ]
            assert len(entry_masks) == len(entry["labels"]) > 0
            position = 0
            for label, item in zip(entry["labels"], entry_masks, strict=True):
                position = entry["caption"].index(label, position) + len(label)
                mask = decode(item["segmentation"])
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                left, top, width, height = item["bbox"]
                assert (left, top) == (columns[0], rows[0])
                assert (width, height) == (columns[-1] + 1 - left, rows[-1] + 1 - top)
                assert item["area"] == mask.sum()


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(
    root: Path, tmp_path: Path, digest: Digest
) -> None:
    write_dataset(tmp_path / "out", CONFIG, workers=2)
    assert digest(tmp_path / "out") == digest(root)


def test_another_seed_gives_other_images(root: Path, tmp_path: Path, digest: Digest) -> None:
    config = CONFIG.model_copy(update={"seed": 1, "num_grand": 3, "num_train": 3})
    write_dataset(tmp_path / "out", config, workers=1)
    ours = {name: code for name, code in digest(tmp_path / "out").items() if name.endswith(".jpg")}
    assert not set(ours.values()) & set(digest(root).values())


def test_an_interrupted_run_is_finished_to_the_same_bytes(tmp_path: Path, digest: Digest) -> None:
    config = CONFIG.model_copy(update={"num_grand": 6, "num_train": 6, "num_val": 2, "num_test": 2})
    out = tmp_path / "out"
    write_dataset(out, config, workers=1)
    whole = digest(out)
    lost = sorted((out / "GranD/annotations").iterdir())[2]
    lost.unlink()
    (out / "GranD_Data/images" / f"{lost.stem}.jpg").write_bytes(b"half")
    sorted((out / "GranDf_HA_images/train").iterdir())[4].unlink()
    (out / "GranDf/annotations/val_test/val_gcg_coco_mask_gt.json").unlink()
    lost.with_name(f".{lost.name}.part").write_bytes(b"{")
    write_dataset(out, config, workers=1)
    assert digest(out) == whole


def test_a_finished_data_set_is_left_alone(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"num_grand": 2, "num_train": 2, "num_val": 1, "num_test": 1})
    write_dataset(tmp_path, config, workers=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jp*g")}
    write_dataset(tmp_path, config, workers=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jp*g")} == times


def test_foreign_files_are_never_mixed_in(tmp_path: Path) -> None:
    stranger = tmp_path / "GranD_Data/images/sa_1.jpg"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"sa_1\.jpg: is not part of the data set"):
        write_dataset(tmp_path, CONFIG, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [stranger]


def test_other_parameters_need_another_folder(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"num_grand": 1, "num_train": 1, "num_val": 1, "num_test": 1})
    write_dataset(tmp_path, config, workers=1)
    with pytest.raises(DataError, match=r"different parameters \(seed\)"):
        write_dataset(tmp_path, config.model_copy(update={"seed": 5}), workers=1)
