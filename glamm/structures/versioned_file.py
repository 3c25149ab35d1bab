"""JSON files that one program writes and another one reads: typed, with a schema version."""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glamm.errors import DataError
from glamm.files import read_json_object, write_text

FileT = TypeVar("FileT", bound="VersionedFile")  # not Self: beartype checks methods one by one


T = TypeVar("T")


def _is_none(value: object) -> bool:
    return value is None


IfKnown: TypeAlias = Annotated[T | None, Field(exclude_if=_is_none)]
"""The type of a key that is not in the file if its value is None."""


class FileSection(BaseModel):
    """An object in a JSON file; unknown and missing keys are errors.

    A field that has another name than its key in the file has the key as its alias, declared inside `Annotated`: code
    uses the field's name, files use the key.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )


class VersionedFile(FileSection):
    """A JSON file whose keys are the fields of a subclass.

    Args:
        schema_version: Raised when a key changes its meaning: the default is the version that is written and read. A
            file without one has version 1.
    """

    remedy: ClassVar[str] = "write it again"
    """What a person can do about a file that cannot be read."""

    indent: ClassVar[int | None] = 1
    """Spaces of indentation in the file; None writes one line."""

    schema_version: int = 1

    @classmethod
    def load(cls: type[FileT], path: Path) -> FileT:
        """Read a file.

        Raises:
            DataError: It is missing, is not JSON, has another schema version, or a key is missing, unknown or of a
                wrong type.
        """
        try:
            content = read_json_object(path)
        except DataError as error:
            raise DataError(f"{error.reason}: {cls.remedy}", file=path) from error
        version, current = (
            content.get("schema_version", 1),
            cls.model_fields["schema_version"].default,
        )
        if version != current:
            raise DataError(
                f"is {version}, and this glamm reads {current}: {cls.remedy}",
                file=path,
                field="schema_version",
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise violation(error, path, remedy=cls.remedy) from error

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; its folder is made if it is missing.

        Raises:
            DataError: A number is infinite or not a number, which JSON cannot hold.
        """
        try:
            text = json.dumps(
                self.as_json(), ensure_ascii=False, indent=self.indent, allow_nan=False
            )
        except ValueError as error:
            raise DataError(f"holds a number that is not finite ({error})", file=path) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text + "\n")

    def as_json(self) -> dict[str, Any]:
        """The keys and values of the file."""
        return self.model_dump(mode="json")


def violation(error: ValidationError, path: Path, *, remedy: str = "") -> DataError:
    """The first violation of a file's model as an error that names the file and the field.

    Args:
        error: From pydantic.
        path: The file.
        remedy: What to do about it.
    """
    first = error.errors()[0]
    field = ".".join(str(key) for key in first["loc"])
    reason = f"{first['msg']}: {remedy}" if remedy else first["msg"]
    return DataError(reason, file=path, field=field)
