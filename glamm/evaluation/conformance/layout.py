"""A conformance set on disk: config.json, weights, images, and two files for each case."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from glamm.checkpoints import read_weights
from glamm.checkpoints.name_maps.official import rope_theta_of
from glamm.config.model import (
    CompatConfig,
    GlobalEncoderConfig,
    GroundingEncoderConfig,
    LanguageModelConfig,
    MaskDecoderConfig,
    ModelConfig,
    RegionEncoderConfig,
    SpecialTokens,
)
from glamm.errors import DataError
from glamm.files import read_json_object
from glamm.structures.versioned_file import violation
from glamm.text.tokenizer import Tokenizer
from glamm.typing import Size

_LOG = logging.getLogger(__name__)
_OTHER_FILES = {"config", "provenance", "weights", "lora_weights", "lora_final_params"}


class CaseDescription(BaseModel):
    """The JSON file of a case; entries that are not listed here are for people.

    Args:
        conversations: Text of each conversation; of cases that run whole conversations.
        prompt: Text of the question; of cases that generate an answer.
        images: File name of each image.
        image: File name; of cases that generate an answer.
        resize_list: (height, width) of each image in the grounding square.
        label_sizes: (height, width) of each original image.
        orig_sizes: The same, of cases that generate an answer.
        has_grounding_images: Whether the case predicts masks.
        region_fused_level_stride: For each fused level, n if every n-th pixel is stored.
        losses: Weighted losses and their total.
        grad_norms: Norm of the gradient of every parameter that has one, by official name.
        max_tokens_new: Limit of the generated tokens.
        eos_token_id: Ends the generation, if it is not the model's token.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    conversations: tuple[str, ...] = ()
    prompt: str = ""
    images: tuple[str, ...] = ()
    image: str = ""
    resize_list: tuple[Size, ...] | None = None
    label_sizes: tuple[Size, ...] | None = None
    orig_sizes: tuple[Size, ...] | None = None
    has_grounding_images: bool = False
    region_fused_level_stride: tuple[int, ...] = ()
    losses: dict[str, float] = {}
    grad_norms: dict[str, float] = {}
    max_tokens_new: int = 0
    eos_token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its inputs and the outputs of the release.

    Args:
        name: Base name of its two files.
        description: The JSON file.
        reference: Tensors of the safetensors file, inputs and outputs, by name.
    """

    name: str
    description: CaseDescription
    reference: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ConformanceSet:
    """A folder of cases that share a model and images.

    Args:
        folder: Where its files are.
        config: Sizes of the model, with those faults of the release switched on that the set contains.
        weights: Tensors by official name.
        pixels: Preprocessed uint8 images, `clip_u8.<image>` and `sam_u8.<image>`.
        tokenizer: None if neither the folder nor `tokenizer/` beside it has a tokenizer.model.
        case_names: In the order in which the cases run.
    """

    folder: Path
    config: ModelConfig
    weights: dict[str, Tensor]
    pixels: dict[str, Tensor]
    tokenizer: Tokenizer | None
    case_names: tuple[str, ...]

    def read_case(self, name: str) -> Case:
        """Read the two files of a case.

        Raises:
            DataError: The JSON file is missing or does not describe a case.
            CheckpointError: The safetensors file is missing or damaged.
        """
        path = self.folder / f"{name}.json"
        try:
            description = CaseDescription.model_validate(read_json_object(path))
        except ValidationError as error:
            raise violation(error, path) from error
        return Case(name, description, read_weights(self.folder / f"{name}.safetensors"))


def read_set(folder: Path) -> ConformanceSet:
    """Read the model, the images and the names of the cases of a folder.

    Raises:
        DataError: config.json is missing, is not JSON, or lacks an entry.
        CheckpointError: weights.safetensors or pixels.safetensors is missing or damaged.
    """
    path = folder / "config.json"
    description = read_json_object(path)
    weights = read_weights(folder / "weights.safetensors")
    try:
        config = _model_config(description, weights)
    except KeyError as error:
        raise DataError("the entry is missing", file=path, field=str(error.args[0])) from error
    except ValidationError as error:
        raise violation(error, path) from error
    stems = {file.stem for suffix in ("json", "safetensors") for file in folder.glob(f"*.{suffix}")}
    return ConformanceSet(
        folder=folder,
        config=config,
        weights=weights,
        pixels=read_weights(folder / "pixels.safetensors"),
        tokenizer=_find_tokenizer(folder),
        case_names=tuple(sorted(stems - _OTHER_FILES)),
    )


def _find_tokenizer(folder: Path) -> Tokenizer | None:
    paths = (folder / "tokenizer.model", folder.parent / "tokenizer" / "tokenizer.model")
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        _LOG.warning(
            "%s has no tokenizer.model, and neither has tokenizer/ beside it: texts are not compared",
            folder,
        )
        return None
    return Tokenizer.from_file(path)


def _stored_theta(weights: dict[str, Tensor]) -> float:
    return rope_theta_of(
        next((w for name, w in weights.items() if name.endswith("inv_freq")), None)
    )


def _model_config(description: dict[str, Any], weights: dict[str, Tensor]) -> ModelConfig:
    """Convert the sizes of a set."""
    clip, region, llm, sam = (description[part] for part in ("clip", "region", "llm", "sam"))
    ids = description["tokens"]
    return ModelConfig(
        global_encoder=GlobalEncoderConfig(
            image_size=clip["image_size"],
            patch_size=clip["patch_size"],
            hidden_size=clip["hidden_size"],
            intermediate_size=clip["intermediate_size"],
            num_layers=clip["num_layers"],
            num_heads=clip["num_heads"],
            select_layer=clip["select_layer"],
            hidden_act=clip["hidden_act"],
            layer_norm_eps=clip["layer_norm_eps"],
        ),
        region_encoder=RegionEncoderConfig(
            width=clip["hidden_size"],
            num_groups=region["gn_groups"],
            position_dim=region["pos_dim"],
            hidden_dim=region["mid_dim"],
            roi_size=region["roi_size"],
            sampling_ratio=region["sampling_ratio"],
            num_fusion_layers=region["num_fuse"],
            num_levels=region["num_levels"],
            level_step=region["level_step"],
        ),
        language_model=LanguageModelConfig(
            vocab_size=llm["vocab_size"],
            hidden_size=llm["hidden_size"],
            intermediate_size=llm["intermediate_size"],
            num_layers=llm["num_layers"],
            num_heads=llm["num_heads"],
            num_key_value_heads=llm.get("num_key_value_heads"),
            hidden_act=llm.get("hidden_act", "silu"),
            rms_norm_eps=llm["rms_norm_eps"],
            rope_theta=llm.get("rope_theta") or _stored_theta(weights),
        ),
        grounding_encoder=GroundingEncoderConfig(
            image_size=sam["image_size"],
            patch_size=sam["patch_size"],
            hidden_size=sam["embed_dim"],
            num_layers=sam["depth"],
            num_heads=sam["num_heads"],
            global_attention_layers=sam["global_attn_indexes"],
            window_size=sam["window_size"],
            out_channels=sam["prompt_embed_dim"],
        ),
        mask_decoder=MaskDecoderConfig(
            num_heads=sam["decoder_num_heads"],
            mlp_dim=sam["decoder_mlp_dim"],
            iou_head_hidden_dim=sam["iou_head_hidden_dim"],
        ),
        special_tokens=SpecialTokens(
            pad=ids["pad"], bos=ids["bos"], eos=ids["eos"], bbox=ids["bbox"], seg=ids["seg"]
        ),
        # the sets were made in float32, without the release's rounding of regions to bfloat16
        compat=CompatConfig(
            roi_base_size=region["roi_base_size"],
            crops_global_image=True,
            drops_surplus_masks=True,
        ),
        prompt_style="release",
    )
