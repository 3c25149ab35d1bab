"""Store a model folder, in half precision, as the embedded model that training starts from by default.

python scripts/embed_start.py .runs/pretrain/joint-d glamm/training/assets/tiny-start
"""

import shutil
import sys
from pathlib import Path

from glamm.checkpoints.store import load_model, read_lineage, save_model
from glamm.text.tokenizer import tokenizer_path
from glamm.training.run import METRICS_FILE


def main() -> None:
    """Convert to half precision and write; training that starts from the weights does not need more digits."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model, _ = load_model(source)
    lineage = read_lineage(source)
    # the path of the folder that it started from is of one machine only; its checksum is in `start`
    parameters = dict(lineage.parameters or {})
    parameters["init_from"] = Path(parameters["init_from"]).name
    save_model(
        model.half(),
        target,
        tokenizer_model=tokenizer_path(source).read_bytes(),
        lineage=lineage.model_copy(update={"parameters": parameters}),
    )
    shutil.copyfile(source / METRICS_FILE, target / METRICS_FILE)


if __name__ == "__main__":
    main()
