"""LLaVA-Instruct: dialogues about COCO's images.

Source: spec of VQA (B.2.6).
"""

from collections.abc import Iterator
from pathlib import Path

from glamm.data.parsing import json_fields
from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import stream_list
from glamm.data.record import Record
from glamm.errors import DataError
from glamm.structures.issue import Issue, Location
from glamm.structures.sample import Sample, Task, Turn

NAME = "llava_instruct_150k"
SPLITS = ("train",)

_FILES = ("llava_dataset/llava_instruct_150k.json",)
_IMAGES = ("coco_2017/train2017", "coco_2017/val2017")
_ROLES = {"human": "user", "gpt": "assistant"}
_PICTURE = "<image>"


def is_in(root: Path) -> bool:
    """Whether the data set is below a folder."""
    return find_file(root, _FILES) is not None


def read(root: Path, split: str) -> Iterator[Record | Issue]:
    """Yield a record a dialogue; the word for the image is taken out of the text.

    Upstream: a dialogue that the model opens loses that turn.
    """
    path = find_file(root, _FILES)
    if split not in SPLITS or path is None:
        return
    file = relative(root, ensure_inside(root, path))
    for index, entry in enumerate(stream_list(path)):
        try:
            yield _read_dialogue(
                root, Location(file, str(index)), json_fields.mapping(entry, "record")
            )
        except DataError as error:
            yield Issue.of_record(file, str(index), error.reason, error.field)


def _read_dialogue(root: Path, location: Location, entry: json_fields.Json) -> Record:
    image_ref = find_image(root, _IMAGES, json_fields.text(entry, "image"))
    said = [
        _say(value, index) for index, value in enumerate(json_fields.items(entry, "conversations"))
    ]
    if said and said[0][0] == "assistant":
        said = said[1:]
    if not said:
        raise DataError("has no turns", field="conversations")
    for index, (role, _) in enumerate(said):
        if role != ("user", "assistant")[index % 2]:
            raise DataError("the two sides do not take turns", field="conversations")
    if len(said) % 2:
        raise DataError("the last question has no answer", field="conversations")
    texts = [text.replace(_PICTURE, "").strip() for _, text in said]
    sample = Sample(
        sample_id=f"{NAME}/train/{location.record}",
        task=Task.VQA,
        dataset=NAME,
        split="train",
        image=image_ref,
        turns=tuple(Turn(role, text) for (role, _), text in zip(said, texts, strict=True)),
    )
    shown = [
        {"role": role, "text": text} | ({"image": _PICTURE in raw} if role == "user" else {})
        for (role, raw), text in zip(said, texts, strict=True)
    ]
    return Record(location, (sample,), remarks={"turns": shown})


def _say(value: object, index: int) -> tuple[str, str]:
    turn = json_fields.mapping(value, f"conversations[{index}]")
    role = _ROLES.get(json_fields.text(turn, "from"))
    if role is None:
        raise DataError("must be human or gpt", field=f"conversations[{index}].from")
    return role, json_fields.text(turn, "value")
