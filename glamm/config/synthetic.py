"""Configuration of `glamm synth`."""

from pathlib import Path

from pydantic import Field, model_validator

from glamm.config.base import Config


class SynthConfig(Config):
    """Number, size and kind of the generated images.

    Args:
        seed: The same seed gives the same bytes.
        image_size: Side of the square images in pixels.
        num_grand: Densely annotated images for pretraining (GranD).
        num_train: Images with grounded captions for training (GranD-f).
        num_val: Images with grounded captions for validation.
        num_test: Images with grounded captions for the test.
        max_objects: Largest number of objects in one image; the smallest is 1.
        jpeg_quality: 1 to 100.
        cutouts: A folder of RGBA images to paste; None draws shapes instead.
        backgrounds: A folder of photographs to paste on; given exactly when `cutouts` is.
        drawn_share: Fraction of the scenes that is drawn although `cutouts` are given, 0 to 1.
    """

    seed: int = Field(default=0, ge=0)
    image_size: int = Field(default=256, ge=64, le=4096)
    num_grand: int = Field(default=2000, ge=0, le=100_000_000)
    num_train: int = Field(default=2400, ge=0, le=100_000_000)
    num_val: int = Field(default=150, ge=0, le=100_000_000)
    num_test: int = Field(default=150, ge=0, le=100_000_000)
    max_objects: int = Field(default=8, ge=1, le=8)
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    cutouts: Path | None = None
    backgrounds: Path | None = None
    drawn_share: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _has_both_folders_or_none(self) -> "SynthConfig":
        if (self.cutouts is None) != (self.backgrounds is None):
            given, missing = (
                ("backgrounds", "cutouts") if self.cutouts is None else ("cutouts", "backgrounds")
            )
            message = f"{given} is set without {missing}: pasting needs both folders"
            raise ValueError(message)
        return self
