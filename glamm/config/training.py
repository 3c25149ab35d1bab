"""How a model is trained."""

from glamm.config.base import Config


class TrainConfig(Config):
    """How a model is trained."""
