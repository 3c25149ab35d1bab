"""The section `evaluate`: how a model is evaluated."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pydantic import NonNegativeInt, PositiveInt

from glamm.config.base import Config
from glamm.config.dtype import DTypeName

WeightsKind: TypeAlias = Literal["full", "int8", "int4"]
"""Precision of the language model's weights; int8 and int4 are quantized and need torchao."""


class EvaluateConfig(Config):
    """How a model is evaluated.

    Args:
        question: Question about every image; None uses the one that belongs to the model's prompt style.
        max_new_tokens: Maximum length of an answer in tokens.
        batch_size: Images that are answered together.
        dtype: Type in which the weights are held and used; None is the type that they have in the model folder.
        weights: "int8" and "int4" quantize the language model, to measure the effect on the metrics.
        similarity: Encoder that compares phrases: the path of a JSON table, the path or name of a BERT, or None for the
            sentence encoder that is installed with this package.
        limit: Number of images to evaluate; None evaluates all. Metrics of a part of the split are not comparable.
        num_images: Images with masks in the report, spread evenly over the split.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "num_pictures": "num_images",
    }

    question: str | None = None
    max_new_tokens: PositiveInt = 256
    batch_size: PositiveInt = 16
    dtype: DTypeName | None = None
    weights: WeightsKind = "full"
    similarity: str | None = None
    limit: PositiveInt | None = None
    num_images: NonNegativeInt = 8
