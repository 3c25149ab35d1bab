"""The configuration and the tokenizer of foreign weights: read if this project wrote them, else inferred."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from glamm.checkpoints.fill import Part
from glamm.checkpoints.infer_config import (
    Shapes,
    default_region_encoder,
    infer_global_encoder,
    infer_grounding_encoder,
    infer_language_model,
    infer_mask_decoder,
    infer_region_encoder,
    release_compat,
)
from glamm.checkpoints.name_maps.official import OUR_CONFIG, rope_theta_of
from glamm.checkpoints.release_keys import (
    check_release_keys,
    check_release_sizes,
    is_release_family,
    stated_select_layer,
)
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.store import CONFIG_FILE, read_config
from glamm.checkpoints.weight_files import open_weights, read_config_json
from glamm.checkpoints.write_release import release_config
from glamm.config.language import LanguageModelConfig
from glamm.config.model import GlobalEncoderConfig, ModelConfig, SpecialTokens
from glamm.errors import CheckpointError
from glamm.models.foreign_keys import naming, shortened, unused_keys
from glamm.models.glamm.new_parts import NEW_PARTS
from glamm.models.language.foreign_config import (
    KNOWN_KEYS,
    LANGUAGE_CLASSES,
    to_rope_parameters,
)
from glamm.models.language.pretrained import (
    is_gguf,
    read_language_config,
    read_language_tokenizer,
)
from glamm.text.tokenizer import Tokenizer

_EMBEDDING, _HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
_NEW_PARTS = tuple(f"{part}." for part in NEW_PARTS)


@dataclass(frozen=True, slots=True)
class ForeignConfig:
    """What config.json and the tokenizer's file say.

    Args:
        model: Sizes and switches.
        tokenizer: With the model's vocabulary.
        unused: `key value` of every key that neither this project nor transformers knows.
    """

    model: ModelConfig
    tokenizer: Tokenizer
    unused: tuple[str, ...] = ()


def read_foreign_config(
    sources: Sources, parts: Sequence[Part], *, init_missing: bool
) -> ForeignConfig:
    """Read the configuration and the tokenizer, or infer what is not stated from the shapes of the tensors.

    Args:
        sources: The files.
        parts: Their weights.
        init_missing: Whether parts that only a GLaMM has may be missing.

    Raises:
        CheckpointError: A file is missing or damaged, a part is missing, or a key changes the function in a way that is not
            supported; the message names the file, the key and its value.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        shapes |= part.shapes()
    if not any(name.startswith(_NEW_PARTS) for name in shapes):
        return _of_language_model(sources, parts[0].shapes(), shapes, init_missing=init_missing)
    tokenizer = Tokenizer.from_folder(sources.folder)
    path = sources.folder / CONFIG_FILE
    values = read_config_json(sources.folder)
    if "weights_sha256" in values:
        return ForeignConfig(
            _replaced(read_config(sources.folder).model, sources, shapes), tokenizer
        )
    if OUR_CONFIG in values:
        model = _of_our_export(values, path)
        return ForeignConfig(_replaced(model, sources, shapes), tokenizer)
    with naming(path):
        has_region = any(name.startswith("region_encoder.") for name in shapes)
        unused = check_release_keys(values, is_glamm=has_region)
        language = infer_language_model(values, shapes, rope_theta=_stored_theta(sources.main))
        select_layer = stated_select_layer(values)
    model = _infer_config(
        sources,
        shapes,
        _with_head(language, shapes),
        tokenizer,
        select_layer=select_layer,
        init_missing=init_missing,
    )
    with naming(path):
        check_release_sizes(values, model)
    return ForeignConfig(model, tokenizer, unused)


def _of_language_model(
    sources: Sources, main: Shapes, shapes: Shapes, *, init_missing: bool
) -> ForeignConfig:
    """For a language model, CLIP and SAM."""
    location = sources.main if is_gguf(sources.main) else sources.folder
    language, unused = _read_language(sources, location, main)
    tokenizer = read_language_tokenizer(location)
    model = _infer_config(
        sources,
        shapes,
        _with_head(language, shapes),
        tokenizer,
        select_layer=-2,
        init_missing=init_missing,
    )
    return ForeignConfig(model, tokenizer, unused)


def _read_language(
    sources: Sources, location: Path, main: Shapes
) -> tuple[LanguageModelConfig, tuple[str, ...]]:
    if is_gguf(location):
        return read_language_config(location), ()
    values = read_config_json(location)
    path = location / CONFIG_FILE
    if is_release_family(values) and values.get("model_type") != "llama":  # LLaVA's LLaMA alone
        with naming(path):
            unused = check_release_keys(values, is_glamm=False)
            return infer_language_model(
                values, main, rope_theta=_stored_theta(sources.main)
            ), unused
    language = read_language_config(location)
    with naming(path):
        kind = LANGUAGE_CLASSES[language.architecture]
        unknown = unused_keys(values, kind, known=KNOWN_KEYS)
        _check_vocabulary(language, main)
    return language, tuple(f"{key} {shortened(value)}" for key, value in unknown.items())


def _check_vocabulary(language: LanguageModelConfig, shapes: Shapes) -> None:
    rows = shapes.get(_EMBEDDING, (language.vocab_size,))[0]
    if rows != language.vocab_size:
        raise CheckpointError(
            f"vocab_size {language.vocab_size} does not fit the weights: the embedding has {rows} rows"
        )


def _with_head(language: LanguageModelConfig, shapes: Shapes) -> LanguageModelConfig:
    """A head of its own is used even where the configuration ties it, as transformers does."""
    rows = shapes.get(_EMBEDDING, (language.vocab_size,))[0]
    return language.model_copy(
        update={
            "vocab_size": max(language.vocab_size, rows),
            "tie_embeddings": language.tie_embeddings and _HEAD not in shapes,
        }
    )


def _of_our_export(values: Mapping[str, Any], path: Path) -> ModelConfig:
    """Our whole configuration, which a config.json in the release's layout contains; its other keys must agree."""
    try:
        model = ModelConfig.model_validate(values[OUR_CONFIG])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, (OUR_CONFIG, *first["loc"])))
        raise CheckpointError(f"{path}: {field}: {first['msg']}") from error
    written = release_config(model, dtype="")
    with naming(path):
        check_release_keys(values)
        for key, value in values.items():
            is_known = key in {OUR_CONFIG, "torch_dtype", "dtype", "transformers_version"}
            if key in written and not is_known and value != written[key]:
                raise CheckpointError(
                    f"{key} {shortened(value)} contradicts {OUR_CONFIG}, where it is {shortened(written[key])}: "
                    f"correct it, or remove {OUR_CONFIG} to infer the model from the other keys"
                )
        _check_positions(values, model.language_model)
    return model


def _check_positions(values: Mapping[str, Any], language: LanguageModelConfig) -> None:
    """Check the keys of transformers 5, which this project does not write."""
    parameters = values.get("rope_parameters")
    if parameters is not None and parameters != to_rope_parameters(language):
        raise CheckpointError(
            f"rope_parameters {shortened(parameters)} contradicts {OUR_CONFIG}: correct it, or remove {OUR_CONFIG} to infer "
            "the model from the other keys"
        )


def _replaced(config: ModelConfig, sources: Sources, shapes: Shapes) -> ModelConfig:
    """The configuration with the sizes of the parts that are taken from other files."""
    update: dict[str, Any] = {}
    if sources.clip and "global_encoder" in sources.replaced:
        update["global_encoder"] = _read_clip(sources.clip, config.global_encoder.select_layer)
    if "grounding_encoder" in sources.replaced:
        update["grounding_encoder"] = infer_grounding_encoder(shapes)
    if "mask_decoder" in sources.replaced:
        update["mask_decoder"] = infer_mask_decoder(shapes)
    return config.model_copy(update=update)


def _read_clip(folder: Path, select_layer: int) -> GlobalEncoderConfig:
    with naming(folder / CONFIG_FILE):
        return infer_global_encoder(read_config_json(folder), select_layer=select_layer)


def _infer_config(
    sources: Sources,
    shapes: Shapes,
    language: LanguageModelConfig,
    tokenizer: Tokenizer,
    *,
    select_layer: int,
    init_missing: bool,
) -> ModelConfig:
    """Infer the configuration of a model that has none of ours."""
    if sources.clip is None:
        raise CheckpointError(
            f"{sources.main}: contains no global image encoder: name the folder of CLIP with --clip"
        )
    size = max(language.vocab_size, len(tokenizer))
    has_region = any(name.startswith("region_encoder.") for name in shapes)
    clip = _read_clip(sources.clip, select_layer)
    if not any(name.startswith("grounding_encoder.") for name in shapes):
        raise CheckpointError(
            f"{sources.main}: contains no grounding encoder: name the file of SAM with --sam"
        )
    if not has_region and not init_missing:
        raise CheckpointError(
            f"{sources.main}: contains no region encoder. To train a new one, add --init-missing."
        )
    with naming(sources.sam or sources.main):
        grounding, decoder = infer_grounding_encoder(shapes), infer_mask_decoder(shapes)
    with naming(sources.main):
        region = infer_region_encoder(shapes) if has_region else default_region_encoder(clip)
    try:
        config = ModelConfig(
            global_encoder=clip,
            language_model=language.model_copy(update={"vocab_size": size}),
            grounding_encoder=grounding,
            mask_decoder=decoder,
            special_tokens=SpecialTokens.from_tokenizer(tokenizer),
            region_encoder=region,
        )
    except ValidationError as error:
        raise CheckpointError(f"{sources.main}: {error.errors()[0]['msg']}") from error
    return release_compat(config) if has_region else config


def _stored_theta(source: Path) -> float:
    return rope_theta_of(open_weights(source).first_tensor(".inv_freq"))
