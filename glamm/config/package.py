"""The section `package`: name and labels of the Bento."""

from pydantic import Field, field_validator

from glamm.config.base import Config


class PackageConfig(Config):
    """Name and labels of the Bento.

    Args:
        name: The part of the Bento's tag before the colon; the part after it is a hash of the content.
        labels: Labels that BentoML stores in the Bento.
    """

    name: str = Field(default="glamm-service", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_no_module(cls, name: str) -> str:
        if name == "glamm":
            raise ValueError(
                "must not be 'glamm': where the package glamm is installed, BentoML reads the tag glamm:… as the name of "
                "that module and serves its code instead of the Bento's"
            )
        return name
