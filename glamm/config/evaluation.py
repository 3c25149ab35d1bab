"""How a model is judged."""

from glamm.config.base import Config


class EvaluateConfig(Config):
    """How a model is judged."""
