"""Sizes and switches of the model."""

from glamm.config.base import Config


class ModelConfig(Config):
    """Sizes and switches of a GLaMM."""
