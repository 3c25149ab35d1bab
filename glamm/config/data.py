"""How a data set becomes training shards, and how shards become batches."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from glamm.config.base import Config


class PrepareConfig(Config):
    """How a data set becomes training shards.

    Args:
        datasets: Names of the data sets to read; empty takes every one that is found.
        shard_mebibytes: Size at which a shard file is closed.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "sources": "datasets",
    }

    datasets: tuple[str, ...] = ()
    shard_mebibytes: int = Field(default=64, ge=1, le=2048)


class MixtureConfig(Config):
    """How often each kind of conversation is trained.

    One step has one kind, so that its rows need the same parts of the model. The weights need not add up to one;
    a kind that the shards do not hold is left out and the others share its place.

    Args:
        grounded_conversation: Captions whose phrases have masks.
        referring_segmentation: Expressions and classes asked for.
        region_captioning: Words for boxes.
        image_captioning: Plain captions and questions.
        dataset_weights: Data set names with how often each is drawn among those of its kind. Every data set that is not
            named counts as many times as it has samples; one named 0 is left out.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "rates": "dataset_weights",
    }

    grounded_conversation: NonNegativeFloat = 0.5
    referring_segmentation: NonNegativeFloat = 0.3
    region_captioning: NonNegativeFloat = 0.1
    image_captioning: NonNegativeFloat = 0.1
    dataset_weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _trains_something(self) -> "MixtureConfig":
        if not any(self.weights().values()):
            raise ValueError("every kind of conversation has weight 0: give one a positive weight")
        return self

    def weights(self) -> dict[str, float]:
        """Weight of each kind, by its name."""
        return {
            "grounded_conversation": self.grounded_conversation,
            "referring_segmentation": self.referring_segmentation,
            "region_captioning": self.region_captioning,
            "image_captioning": self.image_captioning,
        }


class LoaderConfig(Config):
    """How batches are made.

    Args:
        batch_size: Images in one forward pass on one device.
        conversations_per_image: Most conversations of the step's kind that an image brings along.
        length_bucket_steps: Steps of one kind of conversation whose samples are sorted by length and dealt to them again,
            so that rows of a batch are of like length. With 1, only a step's own are sorted to its devices and passes.
        mask_loss_max_side: Longest side, in pixels, of the masks that the loss is taken on; larger ones are scaled down, which
            is cheaper. None: the images' own sizes, as the release.
        num_workers: Processes that make batches; the batches do not depend on it.
        flip_probability: How often an image is mirrored. Images whose words say left or right never are.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "length_window": "length_bucket_steps",
        "mask_side": "mask_loss_max_side",
    }

    batch_size: PositiveInt = 16
    conversations_per_image: PositiveInt = 1
    length_bucket_steps: PositiveInt = 16
    mask_loss_max_side: PositiveInt | None = None
    num_workers: int = Field(default=0, ge=0)
    flip_probability: NonNegativeFloat = Field(default=0.0, le=1.0)
    mixture: MixtureConfig = MixtureConfig()
