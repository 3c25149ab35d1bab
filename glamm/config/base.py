"""The base of every configuration type."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen values that refuse unknown keys, so that a misspelt parameter is an error and not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
