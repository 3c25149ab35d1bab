"""Memory of the weights and of one answer, as the peak above the weights; each size runs in its own process.

python benchmarks/inference_memory.py [--sizes tiny,small] [--tokens 128]
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
from inference import VOCAB_SIZE, generate_seg_sometimes, request_of

from glamm.config.model import ModelConfig
from glamm.inference.engine import generate
from glamm.models.glamm import GLaMM


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="tiny,small")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--here", action="store_true", help="measure in this process")
    options = parser.parse_args()
    for size in options.sizes.split(","):
        if options.here:
            print(json.dumps({"size": size} | _measure(size, options.tokens)))
            continue
        arguments = ["--here", "--sizes", size, "--tokens", str(options.tokens)]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


def _measure(size: str, num_tokens: int) -> dict[str, float]:
    imported = _peak_mebibytes()
    torch.manual_seed(0)
    model = GLaMM.from_config(ModelConfig.of_size(size, vocab_size=VOCAB_SIZE)).eval()
    generate_seg_sometimes(model)
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
    loaded = _peak_mebibytes()
    answer = generate(model, request_of(model), max_new_tokens=num_tokens, eos_token_id=-1)
    return {
        "positions": answer.counters.prefill_tokens,
        "new_tokens": len(answer.token_ids),
        "masks": len(answer.mask_logits),
        "libraries_mib": round(imported),
        "weights_mib": round(weights),
        "answer_mib": round(_peak_mebibytes() - loaded),
    }


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
