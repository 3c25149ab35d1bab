"""Settings of the service: environment variables, else the file that `glamm package` put into the Bento."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import PositiveInt, ValidationError

from glamm.config.base import Config
from glamm.config.dtype import DTypeName
from glamm.errors import ConfigError

SETTINGS_FILE = "settings.json"
"""In the root of a Bento."""

_PREFIX = "GLAMM_"


class ServiceSettings(Config):
    """How a model is served; each setting is also an environment variable, such as GLAMM_DEVICE.

    Args:
        device: auto (the first CUDA GPU if there is one, else the CPU), or a device of torch.
        dtype: Type in which the weights are held and used; None is the type that they have in their file.
        timeout: Seconds after which a request that is not answered gets status 504.
    """

    device: str = "auto"
    dtype: DTypeName | None = None
    timeout: PositiveInt = 120

    @classmethod
    def read(cls, root: Path, environment: Mapping[str, str] = os.environ) -> "ServiceSettings":
        """Read the settings of a service.

        Args:
            root: The folder of the package `glamm`; in a Bento it holds the file.
            environment: Its variables win over the file.

        Raises:
            ConfigError: A value is not valid.
        """
        path = root / SETTINGS_FILE
        packed = cls.model_validate_json(path.read_bytes()) if path.is_file() else cls()
        names = {name: f"{_PREFIX}{name.upper()}" for name in cls.model_fields}
        given = {name: environment[key] for name, key in names.items() if environment.get(key)}
        try:
            return cls.model_validate(packed.model_dump() | given)
        except ValidationError as error:
            first = error.errors()[0]
            key = names[str(first["loc"][0])]
            raise ConfigError(f"{key}={environment.get(key)}: {first['msg']}") from error

    def as_environment(self) -> dict[str, str]:
        """The variables of those settings that were given, as `read` reads them."""
        given = self.model_dump(exclude_unset=True, exclude_none=True)
        return {f"{_PREFIX}{name.upper()}": str(value) for name, value in given.items()}
