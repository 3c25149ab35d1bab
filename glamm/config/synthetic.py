"""What `glamm synth` draws."""

from glamm.config.base import Config


class SynthConfig(Config):
    """What `glamm synth` draws."""
