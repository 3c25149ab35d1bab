"""Scenes as records of the official files: GranD's JSON per image and GranD-f's grounded captions.

Source: the release's specification of GranD's final JSON and of the GranD-f files, with its field names.
"""

from typing import Any

import numpy as np

from glamm.geometry import masks
from glamm.structures.sample import Mask
from glamm.synthetic.captions import dense_caption, grounded_caption, short_captions
from glamm.synthetic.referring_expressions import referring_expressions
from glamm.synthetic.scene import Scene, SceneObject
from glamm.synthetic.shapes import SHAPES
from glamm.synthetic.text import GroundedText

JsonObject = dict[str, Any]
_AFFORDANCES = {shape.noun: shape.affordance for shape in SHAPES if shape.affordance}


def grand_record(scene: Scene, *, rng: np.random.Generator) -> JsonObject:
    """GranD's record of an image, without the file name that is its key."""
    side = scene.image.shape[0]
    shorts = short_captions(scene, rng=rng)
    dense = dense_caption(scene, rng=rng)
    count = len(scene.objects)
    return {
        "objects": [
            _object_record(
                obj, index, referring_expressions(scene.objects, index, rng=rng, side=side)
            )
            for index, obj in enumerate(scene.objects)
        ],
        "floating_objects": [
            {
                "id": count + index,
                "bbox": list(obj.box),
                "labels": [obj.label],
                "score": 0.5,
                "attributes": None,
            }
            for index, obj in enumerate(scene.floating_objects)
        ],
        "floating_attributes": [],
        "landmark": _landmark(scene),
        "affordances": _affordances(scene),
        "id_counter": count + len(scene.floating_objects),
        "relationships": _relationships(shorts),
        "short_captions": [_short_caption(scene, caption) for caption in shorts],
        "dense_caption": {
            "caption": dense.text,
            "details": [
                {
                    "phrase": grounding.phrase,
                    "tokens_positive": [grounding.start, grounding.end],
                    "ids": list(grounding.ids),
                    "bbox": [list(scene.objects[index].box) for index in grounding.ids],
                }
                for grounding in dense.groundings
            ],
        },
        "additional_context": scene.setting.use if scene.setting else "",
    }


def train_record(scene: Scene, file_name: str, *, rng: np.random.Generator) -> JsonObject:
    """One entry of GranDf_HA_GCG_train.json."""
    caption = grounded_caption(scene, rng=rng)
    return {
        "file_name": file_name,
        "caption": caption.text,
        "groundings": {
            grounding.phrase: {
                "token_positives": [grounding.start, grounding.end],
                "rle_masks": [_rle(scene.objects[index].mask) for index in grounding.ids],
            }
            for grounding in caption.groundings
        },
    }


def evaluation_record(scene: Scene, stem: str, *, rng: np.random.Generator) -> JsonObject:
    """The input of `coco_files` and `referring_files` for one image: caption, labels, a mask for each, expressions."""
    caption = grounded_caption(scene, rng=rng)
    groups = [[scene.objects[index] for index in grounding.ids] for grounding in caption.groundings]
    height, width = scene.image.shape[:2]
    expressions = [
        referring_expressions(scene.objects, index, rng=rng, side=height)
        for index in range(len(scene.objects))
    ]
    return {
        "referred": [
            {"expressions": texts, "mask": _union_annotation([obj])}
            for obj, texts in zip(scene.objects, expressions, strict=True)
            if texts
        ],
        "image": {"id": stem, "file_name": f"{stem}.jpg", "height": height, "width": width},
        "caption": caption.text,
        "labels": [grounding.phrase for grounding in caption.groundings],
        "masks": [_union_annotation(group) for group in groups],
    }


def coco_files(records: list[JsonObject]) -> tuple[JsonObject, JsonObject]:
    """The caption file and the mask file of a split; the i-th label of an image describes its i-th mask."""
    images = [record["image"] for record in records]
    captions: list[JsonObject] = []
    annotations: list[JsonObject] = []
    for number, record in enumerate(records, start=1):
        image_id = record["image"]["id"]
        captions.append(
            {
                "id": number,
                "image_id": image_id,
                "caption": record["caption"],
                "labels": record["labels"],
            }
        )
        for mask in record["masks"]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    **mask,
                    "iscrowd": 0,
                }
            )
    info = {"description": "Grounded captions in the layout of GranD-f"}
    return (
        {"info": info, "images": images, "annotations": captions},
        {
            "info": info,
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "object", "supercategory": "object"}],
        },
    )


def referring_files(
    records: list[JsonObject], *, split: str
) -> tuple[JsonObject, list[JsonObject]]:
    """The instances and the references in RefCOCOg's layout; each expression refers to one object of an image."""
    images: list[JsonObject] = []
    annotations: list[JsonObject] = []
    refs: list[JsonObject] = []
    num_sentences = 0
    for number, record in enumerate(records, start=1):
        images.append({**record["image"], "id": number})
        for referred in record["referred"]:
            ann_id = len(annotations) + 1
            annotations.append(
                {"id": ann_id, "image_id": number, "category_id": 1, "iscrowd": 0}
                | referred["mask"]
            )
            sent_ids = [num_sentences + index for index in range(len(referred["expressions"]))]
            num_sentences += len(sent_ids)
            refs.append(
                {
                    "ref_id": len(refs),
                    "ann_id": ann_id,
                    "image_id": number,
                    "category_id": 1,
                    "file_name": record["image"]["file_name"],
                    "split": split,
                    "sent_ids": sent_ids,
                    "sentences": [
                        {"sent_id": sent_id, "sent": text, "raw": text, "tokens": text.split()}
                        for sent_id, text in zip(sent_ids, referred["expressions"], strict=True)
                    ],
                }
            )
    categories = [{"id": 1, "name": "object", "supercategory": "object"}]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    return instances, refs


def _object_record(obj: SceneObject, index: int, expressions: list[str]) -> JsonObject:
    noun = obj.phrase.noun.replace(" ", "_")
    return {
        "id": index,
        "bbox": list(obj.box),
        "labels": list(dict.fromkeys([noun, obj.phrase.text.replace(" ", "_")])),
        "label": noun,
        "score": round(1.0 - 0.5 * obj.hidden, 3),
        "attributes": expressions or None,
        "depth": obj.depth,
        "segmentation": _rle(obj.mask),
        "segmentation_source": "SAM",
    }


def _landmark(scene: Scene) -> JsonObject | str:
    if scene.setting is None:
        return ""
    return {"category": scene.setting.category, "fine_category": scene.setting.fine_category}


def _affordances(scene: Scene) -> JsonObject:
    affordances: JsonObject = {}
    for index, obj in enumerate(scene.objects):
        affordance = _AFFORDANCES.get(obj.phrase.noun)
        if affordance is None:
            continue
        name, description = affordance
        entry = affordances.setdefault(
            name, {"description": description, "object_ids": [], "labels": []}
        )
        entry["object_ids"].append(index)
        entry["labels"].append(obj.phrase.noun)
    return affordances


def _relationships(captions: tuple[GroundedText, GroundedText]) -> JsonObject:
    phrases: dict[str, list[int]] = {}
    for caption in captions:
        for grounding in caption.groundings:
            phrases.setdefault(grounding.phrase, list(grounding.ids))
    ids = sorted({index for indices in phrases.values() for index in indices})
    return {
        "object_ids": ids,
        "floating_object_ids": [],
        "grounding": [
            {"phrase": phrase, "object_ids": indices} for phrase, indices in phrases.items()
        ],
    }


def _short_caption(scene: Scene, caption: GroundedText) -> JsonObject:
    return {
        "caption": caption.text,
        "details": [
            {
                "phrase": grounding.phrase,
                "tokens_positive": [grounding.start, grounding.end],
                "id": grounding.ids[0],
                "bbox": list(scene.objects[grounding.ids[0]].box),
            }
            for grounding in caption.groundings
        ],
    }


def _rle(mask: Mask) -> JsonObject:
    return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}


def _union_annotation(objects: list[SceneObject]) -> JsonObject:
    mask = masks.union([obj.mask for obj in objects])
    boxes = [obj.box for obj in objects]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    return {
        "segmentation": _rle(mask),
        "area": masks.area(mask),
        "bbox": [left, top, right - left, bottom - top],
    }
