"""`glamm convert` and `glamm checkpoint` as a user types them, and the memory that they need."""

import json
import subprocess
import sys

import pytest
import torch

from glamm.checkpoints.store import load_model, save_model
from glamm.config.model import LanguageModelConfig, ModelConfig
from glamm.models.glamm import GLaMM
from glamm.structures.lineage import Lineage
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer
from tests.builders.checkpoints import write_sam, write_siglip
from tests.builders.language import smollm2, write_llama_3
from tests.builders.memorized import draw_image
from tests.builders.training import GLAMM, micro_config, save_micro

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]


def run(*arguments, cwd):
    return subprocess.run(
        [GLAMM, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_model_is_converted_to_the_release_and_back(tmp_path):
    save_micro(tmp_path / "ours")

    to_release = run("convert", "ours", "release", "--to", "release", cwd=tmp_path)
    back = run("convert", "release", "back", "--clip", "release/clip", cwd=tmp_path)
    described = run("checkpoint", "show", "back", cwd=tmp_path)
    verified = run("checkpoint", "verify", "back", cwd=tmp_path)

    for done in (to_release, back, described, verified):
        assert done.returncode == 0, done.stderr
    assert "read back: logits and masks of a probe are equal" in back.stdout
    assert "language_model" in described.stdout
    assert "every part runs" in verified.stdout


def test_refusal_is_one_line(tmp_path):
    save_micro(tmp_path / "ours")
    run("convert", "ours", "release", "--to", "release", cwd=tmp_path)

    done = run("convert", "release", "back", cwd=tmp_path)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "name the folder of CLIP with --clip" in line
    assert not (tmp_path / "back").exists()


def test_language_model_clip_and_sam_become_a_model_that_answers(tmp_path):
    model = GLaMM.from_config(micro_config())
    write_llama_3(tmp_path / "llama")
    write_siglip(model.config.global_encoder, tmp_path / "siglip")
    write_sam(model, tmp_path / "sam.pth")
    draw_image().save(tmp_path / "image.png")
    parts = ("--clip", "siglip", "--sam", "sam.pth")

    refused = run("convert", "llama", "ours", *parts, cwd=tmp_path)
    converted = run("convert", "llama", "ours", *parts, "--init-missing", cwd=tmp_path)
    answered = run("ground", "image.png", "What is it?", "--model", "ours", "--json", cwd=tmp_path)

    assert refused.returncode == 1
    assert "--init-missing" in refused.stderr
    assert converted.returncode == 0, converted.stderr
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout)["image_size"] == [240, 320]


def test_gguf_file_becomes_a_model_with_its_knowledge(tmp_path):
    model = GLaMM.from_config(micro_config())
    write_siglip(model.config.global_encoder, tmp_path / "siglip")
    write_sam(model, tmp_path / "sam.pth")

    parts = ("--clip", "siglip", "--sam", "sam.pth", "--init-missing")
    converted = run("convert", smollm2(), "ours", *parts, cwd=tmp_path)

    assert converted.returncode == 0, converted.stderr
    built, config = load_model(tmp_path / "ours")
    tokenizer = Tokenizer.from_folder(tmp_path / "ours")
    assert config.language_model == LanguageModelConfig(
        vocab_size=49152 + 7,
        hidden_size=576,
        intermediate_size=1536,
        num_layers=30,
        num_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        rms_norm_eps=config.language_model.rms_norm_eps,
        rope_theta=100_000.0,
        max_positions=8192,
        tie_embeddings=True,
    )
    ids = list(tokenizer.encode("The capital of France is").ids)
    with torch.no_grad():
        for _ in range(2):
            ids.append(int(built.language_model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert tokenizer.decode(ids) == "The capital of France is Paris."


def test_memory_is_the_model_and_one_shard(tmp_path):
    config = ModelConfig.small(vocab_size=len(embedded_tokenizer()))
    model = GLaMM.from_config(config)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    save_model(
        model, tmp_path / "ours", tokenizer_model=embedded_tokenizer().model, lineage=Lineage()
    )
    del model
    program = r"""
import re, sys
from pathlib import Path
from glamm.checkpoints.convert import convert
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.probe import probe
from glamm.checkpoints.store import load_model
def peak():  # of this process: getrusage starts at the peak of the parent
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

    def peak(*arguments):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stdout) * 1024

    probed = peak("ours", "", "probed")  # one model and one forward pass
    written = peak("ours", "", "release")
    back = peak("release", "release/clip", "back")

    assert len(list((tmp_path / "release").glob("model-*.safetensors"))) > 10
    allowed = probed + size / 4  # a second model would add the whole size
    assert written < allowed, (
        f"{(written - probed) / size:.2f} models more than a forward pass needs"
    )
    assert back < allowed, f"{(back - probed) / size:.2f} models more than a forward pass needs"
    assert torch.get_default_dtype() is torch.float32
