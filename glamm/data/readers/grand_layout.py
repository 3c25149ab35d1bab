"""The layouts of GranD's JSON: images, objects and captions with the phrases that ground them."""

import re
from typing import Annotated, cast

from pydantic import AliasChoices, BeforeValidator, Field

from glamm.data.parsing.layout import CornerBox, Integer, Items, Layout, Number, OneOrMore, Text
from glamm.data.readers.grand_phrases import Phrase

_ROLE_PREFIX = re.compile(r"^\s*(?:ass)?istant:\s*", re.IGNORECASE)


def _as_texts(value: object) -> object:
    """Make a list of a single text, and leave nulls out; both occur in files."""
    if isinstance(value, list):
        return [item for item in cast("list[object]", value) if item is not None]
    return (value,) if isinstance(value, str) and value else value or ()


class GrandObject(Layout):
    """An entry of `objects` or `floating_objects`."""

    id: Integer
    bbox: CornerBox
    labels: Annotated[Items[Annotated[str, BeforeValidator(str)]], BeforeValidator(_as_texts)] = ()
    label: object = None
    attributes: Annotated[Items[Text], BeforeValidator(_as_texts)] = ()
    depth: Number | None = Field(None, validation_alias=AliasChoices("depth", "median_depth"))
    score: Number | None = None
    segmentation: object = None
    segmentation_source: object = None

    @property
    def attributes_without_role(self) -> tuple[str, ...]:
        """The attributes without the name of a conversation's role that some begin with."""
        return tuple(_ROLE_PREFIX.sub("", text) for text in self.attributes)


class ShortCaptionPhrase(Layout):
    """An entry of a short caption's `details`; `tokens_positive` is a [start, end], often wrong."""

    phrase: Text
    id: OneOrMore[Integer]
    tokens_positive: object = None

    def to_phrase(self) -> Phrase:
        """The same for every kind of caption."""
        return Phrase(self.phrase, self.id, self.tokens_positive)


class DenseCaptionPhrase(Layout):
    """An entry of the dense caption's `details`; `tokens_positive` is a [start, end], often wrong."""

    phrase: Text
    ids: OneOrMore[Integer] = ()
    tokens_positive: object = None

    def to_phrase(self) -> Phrase:
        """The same for every kind of caption."""
        return Phrase(self.phrase, self.ids, self.tokens_positive)


class CaptionWithDetails(Layout):
    """An entry of `short_captions`, or the `dense_caption`; an invalid detail costs only itself."""

    details: Items[object] = ()
    caption: Text


class GrandImage(Layout):
    """All that a file says about one image. Its parts are validated one by one: an invalid part costs only itself."""

    objects: Items[object] = ()
    floating_objects: Items[object] = ()
    short_captions: Items[object] = ()
    dense_caption: object = None
    affordances: object = None
    landmark: object = None
    additional_context: object = None
