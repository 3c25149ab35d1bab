"""Compare a converted model with what transformers and peft compute from the source's own files.

Reading back a result proves that it was written as it was understood. Only the libraries that define a format prove that it
was understood as it was meant: positions, adapters, activations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionModel,
    LlamaForCausalLM,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SiglipVisionModel,
)

from glamm.checkpoints.fill import Part
from glamm.checkpoints.infer_config import read_vision_config
from glamm.checkpoints.load_foreign import OpenedSources
from glamm.checkpoints.lora import LoraSettings
from glamm.checkpoints.name_maps.lora import split_lora
from glamm.checkpoints.name_maps.official import to_official
from glamm.checkpoints.sources import Sources, is_ours, is_trained
from glamm.checkpoints.weight_files import WeightFiles, open_weights, read_config_json
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.models.clip.encoder import ENCODER_SPECS
from glamm.models.foreign_keys import build_config, quiet
from glamm.models.glamm import GLaMM
from glamm.models.language.causal import LanguageModel
from glamm.models.language.foreign_config import LANGUAGE_CLASSES
from glamm.models.language.pretrained import is_gguf

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Of an output, relative to its largest value: products of matrices of other sizes are rounded differently."""

_MAX_ROUNDED_ELSE = 0.01
"""Share of the elements of a merged weight that may be rounded differently."""

_MODELS = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM, "qwen3": Qwen3ForCausalLM}
_LANGUAGE, _VISION = "language_model.", "global_encoder.clip."
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_DERIVED = (".inv_freq", ".position_ids")
_NUM_TOKENS = 16
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Reference:
    """What a library computes.

    Args:
        output: For the input of the check.
        merged: The weights that peft changed, under our names.
    """

    output: Tensor
    merged: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """The comparison of one part.

    Args:
        part: Name of the part.
        library: What computes it.
        ours: Computes the output of our model.
        theirs: Computes the same from the files of the source.
    """

    part: str
    library: str
    ours: Callable[[GLaMM], Tensor]
    theirs: Callable[[], Reference]

    def compare(self, ours: Tensor, folder: Path | None) -> str:
        """Compare the outputs, and the merged weights with those in the new folder.

        Args:
            ours: The output of our model.
            folder: The new folder; None if its weights are not merged.

        Returns:
            A line about what was compared.

        Raises:
            CheckpointError: They differ.
        """
        try:
            with quiet():
                reference = self.theirs()
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
            reason = " ".join(str(error).split())[:_MAX_REASON]
            return f"{self.part}: not compared: {self.library} cannot read the source ({reason})"
        expected = reference.output.float()
        size = float(expected.abs().max())
        worst = float((ours[..., : expected.shape[-1]].float() - expected).abs().max())
        if not worst <= _TOLERANCE.get(reference.output.dtype, 1e-2) * size:
            raise CheckpointError(
                f"the {self.part} computes something else than {self.library} from the same source: outputs of up to "
                f"{size:.3g} differ by {worst:.2g}. Do not use the result; report it with the source's config.json."
            )
        merged = ""
        if folder and reference.merged:
            for name, weight in reference.merged.items():
                _compare_merged(name, weight, folder)
            merged = f", {len(reference.merged)} merged weights"
        return f"{self.part}: as {self.library} computes it from the source (output of a probe{merged})"


@dataclass(frozen=True, slots=True)
class _Source:
    """An opened source without its weights.

    Args:
        sources: The files.
        parts: Those of which no weights are in memory; the first is the main one, if it is no GGUF file.
        config: Of our model.
        dtype: Likewise.
        lora: Settings of LoRA weights.
        num_tokens: Of the language model's vocabulary in the source.
    """

    sources: Sources
    parts: tuple[Part, ...]
    config: ModelConfig
    dtype: torch.dtype
    lora: LoraSettings | None
    num_tokens: int


def source_checks(opened: OpenedSources) -> tuple[SourceCheck, ...]:
    """The comparisons that a source makes possible: of its language model, and of CLIP or SigLIP.

    Args:
        opened: The source; one of our folders has nothing that another library reads.
    """
    if is_ours(opened.sources.main):
        return ()
    peft = " and peft" if opened.lora else ""
    config = opened.model.config
    rows = [part.shapes().get(f"{_LANGUAGE}{_EMBEDDING}") for part in opened.parts]
    source = _Source(
        sources=opened.sources,
        parts=tuple(part for part in opened.parts if isinstance(part.files, WeightFiles)),
        config=config,
        dtype=opened.dtype,
        lora=opened.lora,
        num_tokens=min(shape[0] for shape in rows if shape),
    )
    checks = [
        SourceCheck(
            "language_model",
            f"transformers{peft}",
            lambda model: _logits(model.language_model, source),
            lambda: _language_reference(source),
        )
    ]
    if source.sources.clip:
        index = config.global_encoder.num_layers + 1 + config.global_encoder.select_layer
        checks.append(
            SourceCheck(
                "global_encoder",
                "transformers",
                lambda model: next(
                    islice(model.global_encoder.hidden_states(_pixels(source.config)), index, None)
                ),
                lambda: _vision_reference(source, index),
            )
        )
    return tuple(checks)


@torch.inference_mode()
def run_checks(checks: Sequence[SourceCheck], model: GLaMM) -> list[Tensor]:
    """The output of our model for each comparison."""
    return [check.ours(model).clone() for check in checks]


def _compare_merged(name: str, expected: Tensor, folder: Path) -> None:
    written = open_weights(folder).first_tensor(f".{to_official(name)}".removeprefix("."))
    if written is None:
        raise CheckpointError(f"{name}: is merged by peft and missing in the result")
    ours, theirs = written[: len(expected)].float(), expected.float()
    differs = ours != theirs
    step = 2 * torch.finfo(expected.dtype).eps
    is_close = torch.allclose(ours, theirs, rtol=step, atol=step * float(theirs.abs().mean()))
    if not is_close or float(differs.float().mean()) > _MAX_ROUNDED_ELSE:
        worst = float((ours - theirs).abs().max())
        raise CheckpointError(
            f"{name}: the merged weight differs by {worst:.2g} from the one that peft merges. Do not use the result."
        )


@torch.inference_mode()
def _language_reference(source: _Source) -> Reference:
    model = _load_language_model(source)
    merged: list[str] = []
    if source.sources.lora:
        _load_trained(model, source)
        adapted = PeftModel.from_pretrained(model, str(source.sources.lora_folder))
        model = adapted.merge_and_unload()
    if source.lora:
        merged = [name for name in source.lora.ranks if name.startswith(_LANGUAGE)]
    if merged and not source.sources.lora:
        model = _merge_inner_lora(model, source, merged)
    output = _logits(model, source)
    theirs = {name: f"{name}.weight".removeprefix(_LANGUAGE) for name in merged}
    return Reference(
        output,
        {f"{name}.weight": model.get_parameter(own) for name, own in theirs.items()},
    )


def _load_language_model(source: _Source) -> LanguageModel:
    """The language model of the source, loaded by transformers."""
    main, dtype = source.sources.main, source.dtype
    reader: Any = AutoModelForCausalLM  # declared for every model of transformers
    if is_gguf(main):
        return reader.from_pretrained(
            main.parent, gguf_file=main.name, dtype=dtype, local_files_only=True
        ).eval()
    values = read_config_json(source.sources.folder)
    family = values.get("model_type")
    names = frozenset(source.parts[0].headers())
    is_plain = all(f"{_LANGUAGE}{name}" in names for name in _stored(source.parts[0]))
    if family in _MODELS and main.is_dir() and is_plain and source.sources.config is None:
        return reader.from_pretrained(main, dtype=dtype, local_files_only=True).eval()
    architecture = source.config.language_model.architecture
    weights = {
        name.removeprefix(_LANGUAGE): tensor.to(dtype)
        for name, tensor in source.parts[0].tensors()
        if name.startswith(_LANGUAGE) and not split_lora(name)
    }
    stated = {key: value for key, value in values.items() if value is not None}
    if not stated.get("rope_parameters"):
        # files of transformers 4.28 have the base in their tensors only
        stated.setdefault("rope_theta", source.config.language_model.rope_theta)
    stated["vocab_size"] = len(weights[_EMBEDDING])
    # as transformers does when it reads a folder: a head of its own stays one
    stated["tie_word_embeddings"] = bool(stated.get("tie_word_embeddings")) and _HEAD not in weights
    config = build_config(LANGUAGE_CLASSES[architecture], stated)
    with torch.device("meta"):
        model = _MODELS[architecture](config)
    # the tensors themselves take the place of the parameters: there is no room for a second copy
    model.load_state_dict(weights, assign=True, strict=False)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    return model.eval()


def _load_trained(model: LanguageModel, source: _Source) -> None:
    """Load whole weights beside an adapter, and enlarge the vocabulary to that of the adapter, before peft loads it."""
    for part in source.parts[1:]:
        if not is_trained(part, source.sources):
            continue
        whole = {
            name.removeprefix(_LANGUAGE): tensor
            for name, tensor in part.tensors()
            if name.startswith(_LANGUAGE) and not split_lora(name)
        }
        rows = [len(value) for name, value in whole.items() if "embed_tokens" in name]
        if rows and rows[0] > model.config.vocab_size:
            model.resize_token_embeddings(rows[0], mean_resizing=False)
        if part.files.source != source.sources.lora:  # what peft does not read
            model.load_state_dict(whole, strict=False)


def _merge_inner_lora(model: LanguageModel, source: _Source, modules: list[str]) -> LanguageModel:
    """Merge the LoRA weights that a checkpoint contains itself."""
    settings = source.lora
    if settings is None:
        raise ValueError("there are no LoRA weights")
    names = {module: module.removeprefix(_LANGUAGE) for module in modules}
    own = replace(
        settings,
        ranks={module: settings.ranks[module] for module in modules},
        alphas={module: settings.alphas[module] for module in modules},
    )
    adapted: Any = get_peft_model(model, own.to_peft(names))
    weights = {
        f"base_model.model.{name.removeprefix(_LANGUAGE)}": tensor
        for name, tensor in source.parts[0].tensors()
        if name.startswith(_LANGUAGE) and split_lora(name)
    }
    set_peft_model_state_dict(adapted, weights)
    return adapted.merge_and_unload()


def _vision_reference(source: _Source, index: int) -> Reference:
    folder, dtype = source.sources.clip, source.dtype
    if folder is None:
        raise ValueError("there is no folder of CLIP")
    architecture = source.config.global_encoder.architecture
    kind: Any = SiglipVisionModel if architecture == "siglip" else CLIPVisionModel
    own = {
        name.removeprefix(_VISION): tensor.to(dtype)
        for part in source.parts
        if part.files.source != folder and any(name.startswith(_VISION) for name in part.headers())
        for name, tensor in part.tensors()
        if name.startswith(_VISION)
    }
    if own:
        theirs: Any = read_vision_config(read_config_json(folder))
        if architecture == "siglip":
            theirs.vision_use_head = False
        model = kind.from_pretrained(None, config=theirs, state_dict=own, dtype=dtype).eval()
    else:
        model = kind.from_pretrained(folder, dtype=dtype, local_files_only=True).eval()
    spec = ENCODER_SPECS[architecture]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.pixel_mean, spec.pixel_std))
    with torch.inference_mode():
        pixels = ((_pixels(source.config) / 255 - mean) / std).to(dtype)
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    return Reference(states[index], {})


def _logits(model: LanguageModel, source: _Source) -> Tensor:
    """Logits at near and at far positions, which rotary embeddings compute differently if they are scaled."""
    language = source.config.language_model
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, source.num_tokens, (1, _NUM_TOKENS), generator=generator)
    near = torch.arange(_NUM_TOKENS)[None]
    far = torch.linspace(0, language.max_positions - 1, _NUM_TOKENS).long()[None]
    outputs = [model(input_ids=ids, position_ids=where, use_cache=False) for where in (near, far)]
    return torch.cat([output.logits for output in outputs])


def _pixels(config: ModelConfig) -> Tensor:
    side = config.global_encoder.image_size
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=generator)


def _stored(part: Part) -> list[str]:
    """The names in a source, without what can be computed."""
    return [name for name in part.files.headers() if not name.endswith(_DERIVED)]
