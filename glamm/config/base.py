"""The base of every configuration type."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """Frozen values; unknown keys are errors, so that a misspelled key does not silently keep its default.

    A subclass lists the former names of its keys in `renamed`. The error for a former name gives the present one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_names(cls, values: object) -> object:
        if isinstance(values, dict):
            former = [key for key in cls.renamed if key in cast("dict[str, Any]", values)]
            if former:
                raise ValueError(
                    "; ".join(f"'{key}' is now called '{cls.renamed[key]}'" for key in former)
                )
        return cast("object", values)
