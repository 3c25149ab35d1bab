"""How a model is judged."""

from pydantic import NonNegativeInt, PositiveInt

from glamm.config.base import Config


class EvaluateConfig(Config):
    """How a model is judged.

    Args:
        question: Asked about every image; null takes the one that the model's prompt style is evaluated with.
        max_new_tokens: When to stop a model that does not stop by itself.
        similarity: How phrases are compared: a JSON table, the folder or name of a BERT, or null for the sentence
            encoder that is installed with this package.
        limit: Images of the split that are asked; null takes all. Numbers of a part cannot be compared.
        num_pictures: Images drawn for the report, spread evenly over the split.
    """

    question: str | None = None
    max_new_tokens: PositiveInt = 256
    similarity: str | None = None
    limit: PositiveInt | None = None
    num_pictures: NonNegativeInt = 8
