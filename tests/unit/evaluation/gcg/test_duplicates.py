"""Two annotations with one id: an official file that pycocotools reads in a surprising way."""

import json

import numpy as np

from glamm.evaluation.gcg.ground_truth import read_truth
from glamm.geometry.masks import encode


def test_the_later_of_two_annotations_with_one_id_counts_for_both(tmp_path):
    """pycocotools resolves both entries to the later one; average precision must see it twice."""
    code = encode(np.eye(8, dtype=bool))
    rle = {"size": list(code.size), "counts": code.counts.decode()}
    annotation = {"category_id": 1, "segmentation": rle, "area": 8.0}
    images = [{"id": name, "height": 8, "width": 8} for name in ("a", "b")]
    captions = [
        {"id": index, "image_id": name, "caption": "A line.", "labels": ["A line"]}
        for index, name in enumerate(("a", "b"), start=1)
    ]
    (tmp_path / "val_gcg_coco_caption_gt.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )
    masks = [annotation | {"id": 7, "image_id": name} for name in ("a", "b")]
    (tmp_path / "val_gcg_coco_mask_gt.json").write_text(
        json.dumps({"images": images, "annotations": masks, "categories": [{"id": 1}]})
    )

    truth, findings = read_truth(tmp_path, "val")

    assert [[mask.occurrences for mask in image.masks] for image in truth.images] == [[], [2]]
    assert any("annotation id 7 occurs again" in finding.message for finding in findings)
