"""The whole of params.yaml: every value that a run may change."""

from collections.abc import Sequence
from pathlib import Path

from glamm.config.base import Config
from glamm.config.data import PrepareConfig
from glamm.config.evaluation import EvaluateConfig
from glamm.config.package import PackageConfig
from glamm.config.section import read_params, validate
from glamm.config.synthetic import SynthConfig
from glamm.config.training import TrainConfig


class Params(Config):
    """The sections of params.yaml, one per stage of the pipeline.

    The defaults of all sections equal the values in params.yaml: `glamm` runs the same outside a checkout.
    """

    synth: SynthConfig = SynthConfig()
    prepare: PrepareConfig = PrepareConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    package: PackageConfig = PackageConfig()


def load_params(path: Path | None = None, overrides: Sequence[str] = ()) -> Params:
    """Read a whole params file and apply overrides; a command that needs one section reads it with `load_section`.

    Args:
        path: A params file; None reads `params.yaml` of the working directory, or uses the defaults if there is none.
        overrides: `section.key=value` texts, the value in YAML, as `dvc exp run -S` takes them.

    Returns:
        The validated parameters.

    Raises:
        ConfigError: The file cannot be read, a key is unknown or a value has the wrong type; the message names the
            file, the key and what was expected.
    """
    tree, source = read_params(path, overrides)
    return validate(Params, tree, source=source)
