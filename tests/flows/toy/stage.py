"""A stage of the toy pipeline: writes its output; for `train`, `synth.seed` says how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

FAILS = 13
SLEEPS = 600

stage, out = sys.argv[1], Path(sys.argv[2])
seed = yaml.safe_load(Path("params.yaml").read_text())["synth"]["seed"]
sys.stdout.write(f"{stage}: at work\n")
sys.stdout.flush()
if stage == "train" and seed == FAILS:
    sys.exit("the loss is not a number at step 13")
if stage == "train" and seed == SLEEPS:
    with subprocess.Popen(["sleep", str(SLEEPS)]) as child:  # as a trainer with its data workers
        Path(os.environ["TOY_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({"miou": 0.5}) if stage == "evaluate" else f"{stage} {seed}\n")
