"""Flickr30k's regions: what several of them show together, then each alone."""

from glamm.data.readers.flickr30k import Flickr
from glamm.structures.sample import Span, SpanKind, Task, Turn

NAME = "flickr30k_region"
SPLITS = ("train",)

_MOST_REGIONS = 10  # asked about in one conversation


def _talk(caption: str, spans: tuple[Span, ...]) -> tuple[Turn, ...]:
    """Ask about all regions, answered by the caption, then about each, answered by its phrase.

    Upstream: the release names every box twice, so that its tokens and boxes do not match.
    """
    chosen = spans[:_MOST_REGIONS]
    turns = [_ask("What can be seen in {}?", chosen, first=1), Turn("assistant", caption)]
    for index, span in enumerate(chosen, start=1):
        question = _ask("And what is {}?", (span,), first=index)
        turns += [question, Turn("assistant", caption[span.start : span.end])]
    return tuple(turns)


def _ask(question: str, phrases: tuple[Span, ...], *, first: int) -> Turn:
    """A question with a word and a box for every object."""
    text, _, rest = question.partition("{}")
    spans: list[Span] = []
    for number, phrase in enumerate(phrases, start=first):
        text += ", " if spans else ""
        word = f"region{number}"
        spans.append(Span(len(text), len(text) + len(word), SpanKind.REGION, phrase.object_ids))
        text += word
    return Turn("user", text + rest, tuple(spans))


_FOLDERS = ("RefCoco_Reg/mdetr_annotations", "flikcr_30k/mdetr_annotations")
_LAYOUT = Flickr(
    name=NAME,
    task=Task.PHRASE_GROUNDING,
    files={"train": tuple(f"{folder}/final_flickr_mergedGT_train.json" for folder in _FOLDERS)},
    images=("flikcr_30k/train", "flikcr_30k/flickr30k-images"),
    mask_field=None,
    talk=_talk,
)
is_in, read = _LAYOUT.is_in, _LAYOUT.read
