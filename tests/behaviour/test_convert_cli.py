"""`glamm convert` and `glamm checkpoint` as a person types them, and what they need of the memory."""

import subprocess
import sys

import pytest
import torch

from glamm.checkpoints.store import save_model
from glamm.config.model import ModelConfig
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import Lineage
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.training import GLAMM, save_micro

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]


def run(*words, cwd):
    return subprocess.run(
        [GLAMM, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def test_there_and_back(tmp_path):
    save_micro(tmp_path / "ours")

    there = run("convert", "ours", "release", "--to", "release", cwd=tmp_path)
    back = run("convert", "release", "back", "--clip", "release/clip", cwd=tmp_path)
    shown = run("checkpoint", "show", "back", cwd=tmp_path)
    verified = run("checkpoint", "verify", "back", cwd=tmp_path)

    for done in (there, back, shown, verified):
        assert done.returncode == 0, done.stderr
    assert "read back: logits and masks of a probe are equal" in back.stdout
    assert "language_model" in shown.stdout
    assert "every part runs" in verified.stdout


def test_refusal_is_one_line(tmp_path):
    save_micro(tmp_path / "ours")
    run("convert", "ours", "release", "--to", "release", cwd=tmp_path)

    done = run("convert", "release", "back", cwd=tmp_path)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "name the folder of CLIP with --clip" in line
    assert not (tmp_path / "back").exists()


def test_memory_is_the_model_and_one_shard(tmp_path):
    config = ModelConfig.small(vocab_size=len(embedded_tokenizer()))
    model = GLaMM.from_config(config)
    size = sum(one.numel() * 4 for one in model.parameters())
    save_model(
        model, tmp_path / "ours", tokenizer_model=embedded_tokenizer().model, lineage=Lineage()
    )
    del model
    program = r"""
import re, sys
from pathlib import Path
from glamm.checkpoints.convert import convert, probe
from glamm.checkpoints.load_foreign import Sources
from glamm.checkpoints.store import load_model
def peak():  # of this program: getrusage would begin with the peak of whoever started it
    return int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1])
before = peak()
source, clip, out = sys.argv[1:]
if out == "probed":
    probe(load_model(Path(source))[0])
else:
    sources = Sources(Path(source), clip=Path(clip) if clip else None)
    convert(sources, Path(out), to_release=out == "release", shard_bytes=20_000_000)
print(peak() - before)
"""

    def peak(*words):
        words = [sys.executable, "-c", program, *words]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stdout) * 1024

    probed = peak("ours", "", "probed")  # one model, and what it needs to run once
    there = peak("ours", "", "release")
    back = peak("release", "release/clip", "back")

    assert len(list((tmp_path / "release").glob("model-*.safetensors"))) > 10
    allowed = probed + size / 4  # a second model would be all of size
    assert there < allowed, f"{(there - probed) / size:.2f} models more than one needs to run"
    assert back < allowed, f"{(back - probed) / size:.2f} models more than one needs to run"
    assert torch.get_default_dtype() is torch.float32
