"""The section `package`: name, labels and default settings of the Bento."""

from pydantic import Field, field_validator

from glamm.config.base import Config
from glamm.config.dtype import DTypeName


class PackageConfig(Config):
    """Name, labels and default settings of the Bento.

    Args:
        name: The part of the Bento's tag before the colon; the part after it is a hash of the content.
        labels: Labels that BentoML stores in the Bento.
        device: Where the packed service runs its model: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda
            or cuda:1. The environment variable GLAMM_DEVICE overrides it.
        dtype: Type in which it holds the weights; None is the type that they have in the model folder. The environment
            variable GLAMM_DTYPE overrides it. The packed weights stay as they are.
    """

    name: str = Field(default="glamm-service", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    labels: dict[str, str] = Field(default_factory=dict)
    device: str = "auto"
    dtype: DTypeName | None = None

    @field_validator("name")
    @classmethod
    def _is_no_module(cls, name: str) -> str:
        if name == "glamm":
            raise ValueError(
                "must not be 'glamm': where the package glamm is installed, BentoML reads the tag glamm:… as the name of "
                "that module and serves its code instead of the Bento's"
            )
        return name
