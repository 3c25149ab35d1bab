"""What goes into the Bento."""

from glamm.config.base import Config


class PackageConfig(Config):
    """What goes into the Bento."""
