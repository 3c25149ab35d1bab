"""A stage of the toy pipeline: writes its output; `train.max_steps` says how it behaves."""

import json
import sys
import time
from pathlib import Path

import yaml

FAILS = 13
SLEEPS = 600

stage, out = sys.argv[1], Path(sys.argv[2])
steps = yaml.safe_load(Path("params.yaml").read_text())["train"]["max_steps"]
sys.stdout.write(f"{stage}: at work\n")
if stage == "train" and steps == FAILS:
    sys.exit("the loss is not a number at step 13")
if stage == "train" and steps == SLEEPS:
    time.sleep(SLEEPS)
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({"miou": 0.5}) if stage == "evaluate" else f"{stage} {steps}\n")
