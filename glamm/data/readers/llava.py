"""LLaVA-Instruct: conversations about COCO's images.

Source: spec of VQA (B.2.6).
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from glamm.data.parsing.dataset_paths import ensure_inside, find_file, relative
from glamm.data.parsing.image_refs import find_image
from glamm.data.parsing.json_stream import stream_list
from glamm.data.parsing.layout import Choice, Items, Layout, Text, parse
from glamm.data.record import Record, read_record
from glamm.errors import DataError
from glamm.structures.issue import Issue, IssueLog, Location
from glamm.structures.sample import Frame, Sample, Task, Turn

IMAGE_TAG = "<image>"
"""Stands for the image in a question; it is removed from the text."""

_FILES = ("llava_dataset/llava_instruct_150k.json",)
_IMAGE_FOLDERS = ("coco_2017/train2017", "coco_2017/val2017")


class Speaker(StrEnum):
    """Who speaks."""

    HUMAN = "human"
    GPT = "gpt"


_SPEAKERS = {"user": Speaker.HUMAN, "assistant": Speaker.GPT}
"""Other names for them, in small letters."""


def _speaker(value: object) -> object:
    name = value.strip().lower() if isinstance(value, str) else value
    return _SPEAKERS.get(name, name) if isinstance(name, str) else name


class LlavaTurn(Layout):
    """What one side says."""

    speaker: Annotated[Choice[Speaker], Field(alias="from"), BeforeValidator(_speaker)]
    value: Text

    @property
    def role(self) -> str:
        """The name of the side in a `Turn`."""
        return "user" if self.speaker is Speaker.HUMAN else "assistant"

    @property
    def text(self) -> str:
        """What is said; a question without the tag of the image."""
        is_question = self.speaker is Speaker.HUMAN
        return (self.value.replace(IMAGE_TAG, "") if is_question else self.value).strip()


class LlavaRecord(Layout):
    """A conversation about an image."""

    image: Text
    conversations: Items[LlavaTurn] = ()

    @property
    def turns(self) -> tuple[LlavaTurn, ...]:
        """The conversation from the first question on."""
        begins_with_answer = self.conversations and self.conversations[0].role == "assistant"
        return self.conversations[1:] if begins_with_answer else self.conversations


class LlavaReader:
    """Reads LLaVA-Instruct.

    Upstream: a conversation that starts with the model's turn loses that turn. Kept.
    """

    name = "llava_instruct_150k"
    splits = ("train",)
    frame = Frame.BY_SIZE
    looked_for = _FILES

    def exists_in(self, root: Path) -> bool:
        """Whether the file of conversations is below a folder."""
        return find_file(root, _FILES) is not None

    def read(self, root: Path, split: str) -> Iterator[Record | Issue]:
        """Yield one record per conversation."""
        path = find_file(root, _FILES)
        if split not in self.splits or path is None:
            return
        file = relative(root, ensure_inside(root, path))
        for index, entry in enumerate(stream_list(path)):
            read = partial(self._read_conversation, root, split, entry)
            yield from read_record(Location(file, str(index)), read)

    def _read_conversation(self, root: Path, split: str, entry: object, issues: IssueLog) -> Record:
        layout = parse(LlavaRecord, entry)
        image_ref = find_image(root, _IMAGE_FOLDERS, layout.image, frame=self.frame, by_end=True)
        turns = _complete_rounds(layout, issues)
        sample = Sample(
            sample_id=f"{self.name}/{split}/{issues.record}",
            task=Task.VQA,
            dataset=self.name,
            split=split,
            image=image_ref,
            turns=tuple(Turn(turn.role, turn.text) for turn in turns),
        )
        return Record(
            issues.location, (sample,), raw=layout.model_copy(update={"conversations": turns})
        )


def _complete_rounds(layout: LlavaRecord, issues: IssueLog) -> tuple[LlavaTurn, ...]:
    """The questions that have an answer, with their answers; there is an issue for every other one."""
    turns = layout.turns
    if any(turn.role != ("user", "assistant")[index % 2] for index, turn in enumerate(turns)):
        raise DataError("human and gpt do not alternate", field="conversations")
    kept: list[LlavaTurn] = []
    for start in range(0, len(turns), 2):
        round_ = turns[start : start + 2]
        field = f"conversations[{start + len(layout.conversations) - len(turns)}]"
        if len(round_) == 1:
            issues.add("the last question has no answer", field)
        elif not all(turn.text for turn in round_):
            issues.add("the question or its answer is empty", field)
        else:
            kept += round_
    if not kept:
        raise DataError("has no turns", field="conversations")
    return tuple(kept)
