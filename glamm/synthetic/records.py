"""Scenes as records of the official files: GranD per-image JSON and GranD-f grounded captions.

Source: spec of GranD's final JSON and of the GranD-f files; field names are the release's.
"""

from typing import Any

import numpy as np

from glamm.geometry import masks
from glamm.structures.sample import Mask
from glamm.synthetic.captions import dense_caption, grounded_caption, short_captions
from glamm.synthetic.referring_expressions import references
from glamm.synthetic.scene import Scene, Thing
from glamm.synthetic.shapes import SHAPES
from glamm.synthetic.text import GroundedText

Record = dict[str, Any]
_AFFORDANCES = {shape.noun: shape.affordance for shape in SHAPES if shape.affordance}


def grand_record(scene: Scene, *, rng: np.random.Generator) -> Record:
    """Everything GranD knows about an image, without the wrapping file name."""
    side = scene.image.shape[0]
    shorts = short_captions(scene, rng=rng)
    dense = dense_caption(scene, rng=rng)
    count = len(scene.things)
    return {
        "objects": [
            _object(thing, index, references(scene.things, index, rng=rng, side=side))
            for index, thing in enumerate(scene.things)
        ],
        "floating_objects": [
            {
                "id": count + index,
                "bbox": list(decor.box),
                "labels": [decor.label],
                "score": 0.5,
                "attributes": None,
            }
            for index, decor in enumerate(scene.decor)
        ],
        "floating_attributes": [],
        "landmark": _landmark(scene),
        "affordances": _affordances(scene),
        "id_counter": count + len(scene.decor),
        "relationships": _relationships(shorts),
        "short_captions": [_short(scene, caption) for caption in shorts],
        "dense_caption": {
            "caption": dense.text,
            "details": [
                {
                    "phrase": grounding.phrase,
                    "tokens_positive": [grounding.start, grounding.end],
                    "ids": list(grounding.ids),
                    "bbox": [list(scene.things[index].box) for index in grounding.ids],
                }
                for grounding in dense.groundings
            ],
        },
        "additional_context": scene.setting.use if scene.setting else "",
    }


def train_record(scene: Scene, file_name: str, *, rng: np.random.Generator) -> Record:
    """One entry of GranDf_HA_GCG_train.json."""
    caption = grounded_caption(scene, rng=rng)
    return {
        "file_name": file_name,
        "caption": caption.text,
        "groundings": {
            grounding.phrase: {
                "token_positives": [grounding.start, grounding.end],
                "rle_masks": [_rle(scene.things[index].mask) for index in grounding.ids],
            }
            for grounding in caption.groundings
        },
    }


def evaluation_record(scene: Scene, stem: str, *, rng: np.random.Generator) -> Record:
    """What `coco_files` and `referring_files` need of one image: caption, labels, one mask a label, expressions."""
    caption = grounded_caption(scene, rng=rng)
    groups = [[scene.things[index] for index in grounding.ids] for grounding in caption.groundings]
    height, width = scene.image.shape[:2]
    expressions = [
        references(scene.things, index, rng=rng, side=height) for index in range(len(scene.things))
    ]
    return {
        "referred": [
            {"expressions": texts, "mask": _united([thing])}
            for thing, texts in zip(scene.things, expressions, strict=True)
            if texts
        ],
        "image": {"id": stem, "file_name": f"{stem}.jpg", "height": height, "width": width},
        "caption": caption.text,
        "labels": [grounding.phrase for grounding in caption.groundings],
        "masks": [_united(group) for group in groups],
    }


def coco_files(records: list[Record]) -> tuple[Record, Record]:
    """The caption file and the mask file of a split; the i-th label of an image belongs to its i-th mask."""
    images = [record["image"] for record in records]
    captions: list[Record] = []
    annotations: list[Record] = []
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


def referring_files(records: list[Record], *, split: str) -> tuple[Record, list[Record]]:
    """The instances and the references of RefCOCOg's layout: expressions that fit one thing of an image each."""
    images: list[Record] = []
    annotations: list[Record] = []
    refs: list[Record] = []
    sentences = 0
    for number, record in enumerate(records, start=1):
        images.append({**record["image"], "id": number})
        for referred in record["referred"]:
            ann_id = len(annotations) + 1
            annotations.append(
                {"id": ann_id, "image_id": number, "category_id": 1, "iscrowd": 0}
                | referred["mask"]
            )
            sent_ids = [sentences + index for index in range(len(referred["expressions"]))]
            sentences += len(sent_ids)
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


def _object(thing: Thing, index: int, expressions: list[str]) -> Record:
    noun = thing.look.noun.replace(" ", "_")
    return {
        "id": index,
        "bbox": list(thing.box),
        "labels": list(dict.fromkeys([noun, thing.look.name.replace(" ", "_")])),
        "label": noun,
        "score": round(1.0 - 0.5 * thing.hidden, 3),
        "attributes": expressions or None,
        "depth": thing.depth,
        "segmentation": _rle(thing.mask),
        "segmentation_source": "SAM",
    }


def _landmark(scene: Scene) -> Record | str:
    if scene.setting is None:
        return ""
    return {"category": scene.setting.category, "fine_category": scene.setting.fine_category}


def _affordances(scene: Scene) -> Record:
    found: Record = {}
    for index, thing in enumerate(scene.things):
        affordance = _AFFORDANCES.get(thing.look.noun)
        if affordance is None:
            continue
        name, description = affordance
        entry = found.setdefault(name, {"description": description, "object_ids": [], "labels": []})
        entry["object_ids"].append(index)
        entry["labels"].append(thing.look.noun)
    return found


def _relationships(captions: tuple[GroundedText, GroundedText]) -> Record:
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


def _short(scene: Scene, caption: GroundedText) -> Record:
    return {
        "caption": caption.text,
        "details": [
            {
                "phrase": grounding.phrase,
                "tokens_positive": [grounding.start, grounding.end],
                "id": grounding.ids[0],
                "bbox": list(scene.things[grounding.ids[0]].box),
            }
            for grounding in caption.groundings
        ],
    }


def _rle(mask: Mask) -> Record:
    return {"size": list(mask.size), "counts": mask.counts.decode("ascii")}


def _united(things: list[Thing]) -> Record:
    mask = masks.union([thing.mask for thing in things])
    corners = [thing.box for thing in things]
    left, top = min(box[0] for box in corners), min(box[1] for box in corners)
    right, bottom = max(box[2] for box in corners), max(box[3] for box in corners)
    return {
        "segmentation": _rle(mask),
        "area": masks.area(mask),
        "bbox": [left, top, right - left, bottom - top],
    }
