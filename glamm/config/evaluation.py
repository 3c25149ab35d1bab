"""How a model is judged."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pydantic import NonNegativeInt, PositiveInt

from glamm.config.base import Config

WeightsKind: TypeAlias = Literal["full", "int8", "int4"]
"""How the language model's weights are held."""


class EvaluateConfig(Config):
    """How a model is judged.

    Args:
        question: Asked about every image; null takes the one that the model's prompt style is evaluated with.
        max_new_tokens: When to stop a model that does not stop by itself.
        batch_size: Images that are answered together.
        weights: "int8" and "int4" round the language model's, to see what that does to the answers; they need
            torchao.
        similarity: How phrases are compared: a JSON table, the folder or name of a BERT, or null for the sentence
            encoder that is installed with this package.
        limit: Images of the split that are asked; null takes all. Numbers of a part cannot be compared.
        num_images: Images drawn for the report, spread evenly over the split.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "num_pictures": "num_images",
    }

    question: str | None = None
    max_new_tokens: PositiveInt = 256
    batch_size: PositiveInt = 16
    weights: WeightsKind = "full"
    similarity: str | None = None
    limit: PositiveInt | None = None
    num_images: NonNegativeInt = 8
