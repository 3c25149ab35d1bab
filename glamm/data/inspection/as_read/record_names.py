"""How the JSON of `glamm data read` names the records of each data set."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import PurePosixPath

from glamm.structures.issue import Issue, Location, Severity

_FILE_PER_RECORD = ("ade20k", "coco_stuff", "mapillary")
_REFERRING = ("refcoco", "refcoco+", "refcocog", "refclef", "grefcoco")
_PARTS = ("paco_lvis", "pascal_part")


class RecordNames:
    """Names the records of one data set.

    Args:
        dataset: Its name.
        locations: Of all its records and issues; in GranD's files a name depends on the number of records in a file.
    """

    def __init__(self, dataset: str, locations: Iterable[Location]) -> None:
        known = {(location.file, location.record) for location in locations}
        self._num_records = Counter(file for file, _ in known)
        self._name = self._naming(dataset)

    def of_record(self, location: Location) -> str:
        """The name of a record that was read."""
        return self._name(location)

    def of_issue(self, issue: Issue) -> str:
        """The name of the record that an issue is about; its file where that cannot be read."""
        location = issue.location
        if issue.severity is Severity.FILE:
            return location.file
        return self._name(location)

    def _naming(self, dataset: str) -> Callable[[Location], str]:
        return _BY_DATASET.get(dataset, self._in_grand if dataset == "grand" else _in_file)

    def _in_grand(self, location: Location) -> str:
        is_alone = self._num_records[location.file] == 1 and location.file.endswith(".json")
        return location.file if is_alone else _in_file(location)


def _in_file(location: Location) -> str:
    return f"{location.file}#{location.record}"


def _of_image(location: Location, prefix: str) -> str:
    """Images of a COCO file have the data set's name before them; its other entries, and double ids, the file's."""
    is_image = (location.record or "").startswith("image ") and location.field != "id"
    return f"{prefix}#{location.record}" if is_image else _in_file(location)


def _file(location: Location) -> str:
    return location.file


def _of_split(location: Location) -> str:
    """Captions have the split before the image's id; other entries of the two files have the file's name."""
    record = location.record or ""
    return record if ":" in record else _in_file(location)


def _in_file_name(location: Location) -> str:
    return f"{PurePosixPath(location.file).name}#{location.record}"


def _caption(location: Location) -> str:
    is_annotation = (location.field or "").startswith("annotation ")
    name = PurePosixPath(location.file).name
    return _in_file(location) if is_annotation else _of_image(location, name)


def _shape(location: Location) -> str:
    is_shape = (location.field or "").startswith("shapes[")
    return _in_file(location) if is_shape else location.file


_BY_DATASET: dict[str, Callable[[Location], str]] = {
    **dict.fromkeys(_FILE_PER_RECORD, _file),
    **{name: partial(_of_image, prefix=f"Refer_Segm/{name}") for name in _REFERRING},
    **{name: partial(_of_image, prefix=name) for name in _PARTS},
    "coco_captions_2017": _caption,
    "granddf_val_test": _of_split,
    "labelme": _shape,
    "llava_instruct_150k": _in_file_name,
}
