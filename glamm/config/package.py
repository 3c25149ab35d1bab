"""What goes into the Bento."""

from pydantic import Field, field_validator

from glamm.config.base import Config


class PackageConfig(Config):
    """What goes into the Bento.

    Args:
        name: Of the Bento: the part of its tag before the colon. The part after it is a hash of what is packed.
        labels: Words that registries and clusters show beside it.
    """

    name: str = Field(default="glamm-service", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_no_module(cls, name: str) -> str:
        if name == "glamm":
            raise ValueError(
                "must not be 'glamm': BentoML takes the tag glamm:… for the module glamm where that is installed, and "
                "would serve its code instead of the Bento's"
            )
        return name
