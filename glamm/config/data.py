"""The section `prepare`, and `train.loader`: from data sets to shards, and from shards to batches."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from glamm.config.base import Config


class PrepareConfig(Config):
    """How a data set becomes training shards.

    Args:
        datasets: Names of the data sets to read; empty reads every data set that is found.
        shard_mebibytes: Size at which a shard is closed.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "sources": "datasets",
    }

    datasets: tuple[str, ...] = ()
    shard_mebibytes: int = Field(default=64, ge=1, le=2048)


class MixtureConfig(Config):
    """How often each task group is trained.

    All conversations of a step belong to one task group, so that they need the same parts of the model. Weights are
    relative: they need not add up to one. A task group that the shards do not have is left out.

    Args:
        grounded_conversation: Weight of captions whose phrases have masks.
        referring_segmentation: Weight of expressions and classes that are answered with masks.
        region_captioning: Weight of descriptions of boxes.
        image_captioning: Weight of plain captions, questions and answers.
        dataset_weights: Weight of a data set, by name, among those of its task group. A data set that is not named has
            its number of samples as its weight; one with weight 0 is left out. A name that the shards do not have has no
            effect; a warning says so.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "rates": "dataset_weights",
    }

    grounded_conversation: NonNegativeFloat = 0.5
    referring_segmentation: NonNegativeFloat = 0.35
    region_captioning: NonNegativeFloat = 0.08
    image_captioning: NonNegativeFloat = 0.07
    dataset_weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: {"grand": 1.0, "granddf_ha_gcg": 3.0}
    )

    @model_validator(mode="after")
    def _trains_something(self) -> "MixtureConfig":
        if not any(self.weights().values()):
            raise ValueError("every task group has weight 0: give one a positive weight")
        return self

    def weights(self) -> dict[str, float]:
        """Weight of each task group, by its name."""
        return {
            "grounded_conversation": self.grounded_conversation,
            "referring_segmentation": self.referring_segmentation,
            "region_captioning": self.region_captioning,
            "image_captioning": self.image_captioning,
        }


class LoaderConfig(Config):
    """How batches are made.

    Args:
        batch_size: Images of one forward pass on one device.
        conversations_per_image: Maximum number of conversations about one image in a step.
        length_bucket_steps: Number of consecutive steps of a task group whose samples are sorted by length and
            redistributed among these steps, so that batches need little padding. With 1, only the samples within a
            step are sorted.
        mask_loss_max_side: Longest side, in pixels, of the masks in the loss; larger ones are scaled down, which is
            cheaper. None uses the sizes of the images, as the release does.
        num_workers: Processes that load batches; the batches do not depend on it.
        flip_probability: Share of the images that are mirrored. Images whose texts contain "left" or "right" never are.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "length_window": "length_bucket_steps",
        "mask_side": "mask_loss_max_side",
    }

    batch_size: PositiveInt = 4
    conversations_per_image: PositiveInt = 2
    length_bucket_steps: PositiveInt = 16
    mask_loss_max_side: PositiveInt | None = None
    num_workers: int = Field(default=0, ge=0)
    flip_probability: NonNegativeFloat = Field(default=0.0, le=1.0)
    mixture: MixtureConfig = MixtureConfig()
