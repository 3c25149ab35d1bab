"""GLaMM: talk about an image and get, for every grounded phrase, a segmentation mask."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glamm.inference.predictor import GroundedPredictor as GroundedPredictor

__version__ = "0.1.0"
__all__ = ["GroundedPredictor", "__version__"]


def __getattr__(name: str) -> object:
    """Load the predictor on first use: `import glamm` alone must not load torch."""
    if name == "GroundedPredictor":
        from glamm.inference.predictor import GroundedPredictor  # noqa: PLC0415 - lazy on purpose

        return GroundedPredictor
    raise AttributeError(f"module 'glamm' has no attribute {name!r}")
