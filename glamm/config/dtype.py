"""The floating-point types in which a model's weights can be held."""

from typing import Literal, TypeAlias

DTypeName: TypeAlias = Literal["float32", "bfloat16", "float16"]
"""Under torch's names."""
