"""Store a model folder in half precision, as the start that comes with the package.

python scripts/embed_start.py .runs/pretrain/joint glamm/training/assets/tiny-start
"""

import json
import sys
from pathlib import Path

from glamm.checkpoints.store import LINEAGE_FILE, load_model, save_model
from glamm.text.tokenizer import tokenizer_path


def main() -> None:
    """Read, halve, write; the fifth digit of a weight does not matter to a start."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model, _ = load_model(source)
    save_model(
        model.half(),
        target,
        tokenizer_model=tokenizer_path(source).read_bytes(),
        lineage=json.loads((source / LINEAGE_FILE).read_text()),
    )


if __name__ == "__main__":
    main()
