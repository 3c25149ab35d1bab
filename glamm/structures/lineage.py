"""lineage.json of a model folder: the data, code and parameters that the model was made from."""

from typing import Any, ClassVar

from glamm.structures.versioned_file import IfKnown, VersionedFile

LINEAGE_FILE = "lineage.json"


class Lineage(VersionedFile):
    """What a model was made from. A trained model has everything but `converted_from`, a converted one only that.

    Args:
        glamm_version: Version of this package.
        git_revision: Commit of the working tree; "unknown" outside git.
        is_git_clean: No tracked file differed from the commit.
        data: SHA-256 of every file of the shards, by path in their folder.
        start: SHA-256 of the weights that training started from, joined by "+" if there were two; "nothing" for random
            weights.
        parameters: The section `train` of the parameters.
        run_id: Id of the Weights & Biases run.
        metrics: The last training and validation metrics.
        converted_from: SHA-256 of the files of another layout, by path.
    """

    remedy: ClassVar[str] = "copy the model folder again"

    glamm_version: IfKnown[str] = None
    git_revision: IfKnown[str] = None
    is_git_clean: IfKnown[bool] = None
    data: IfKnown[dict[str, str]] = None
    start: IfKnown[str] = None
    parameters: IfKnown[dict[str, Any]] = None
    run_id: IfKnown[str] = None
    metrics: IfKnown[dict[str, float]] = None
    converted_from: IfKnown[dict[str, str]] = None
