"""Store a model folder in half precision, with its log, as the start that comes with the package.

python scripts/embed_start.py .runs/pretrain/joint-d glamm/training/assets/tiny-start
"""

import json
import shutil
import sys
from pathlib import Path

from glamm.checkpoints.store import LINEAGE_FILE, load_model, save_model
from glamm.text.tokenizer import tokenizer_path
from glamm.training.run import METRICS_FILE


def main() -> None:
    """Read, halve, write; the fifth digit of a weight does not matter to a start."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model, _ = load_model(source)
    lineage = json.loads((source / LINEAGE_FILE).read_text())
    # the folder that it started from was on one machine; its checksum, beside it, holds everywhere
    lineage["parameters"]["start"] = Path(lineage["parameters"]["start"]).name
    save_model(
        model.half(),
        target,
        tokenizer_model=tokenizer_path(source).read_bytes(),
        lineage=lineage,
    )
    shutil.copyfile(source / METRICS_FILE, target / METRICS_FILE)


if __name__ == "__main__":
    main()
