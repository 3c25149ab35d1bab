"""Memory of one answer: what the weights take, and the peak above them; each size in a process of its own.

python benchmarks/inference_memory.py [--sizes tiny,small] [--tokens 128]
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
from inference import VOCAB_SIZE, request_of, say_seg_now_and_then

from glamm.config.model import ModelConfig
from glamm.inference.engine import generate
from glamm.models.glamm import GLaMM


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="tiny,small")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--here", action="store_true", help="measure in this process")
    options = parser.parse_args()
    for size in options.sizes.split(","):
        if options.here:
            print(json.dumps({"size": size} | _measure(size, options.tokens)))
            continue
        words = ["--here", "--sizes", size, "--tokens", str(options.tokens)]
        subprocess.run([sys.executable, __file__, *words], check=True)


def _measure(size: str, num_tokens: int) -> dict[str, float]:
    imported = _peak_mebibytes()
    torch.manual_seed(0)
    model = GLaMM.from_config(ModelConfig.of_size(size, vocab_size=VOCAB_SIZE)).eval()
    say_seg_now_and_then(model)
    weights = sum(one.numel() * one.element_size() for one in model.parameters()) / 2**20
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
