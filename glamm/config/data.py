"""How a data set becomes training shards."""

from glamm.config.base import Config


class PrepareConfig(Config):
    """How a data set becomes training shards."""
