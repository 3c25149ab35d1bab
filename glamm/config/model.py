"""Sizes and switches of the model."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from glamm.config.base import Config
from glamm.config.language import LanguageModelConfig
from glamm.special_tokens import ADDED_TOKENS, BEGIN, BOX, END, SEG, UNKNOWN

ModelSize: TypeAlias = Literal["tiny", "small", "7b"]
"""`tiny` can be trained on a laptop's CPU, `small` on one GPU; `7b` is the paper's size."""

PromptStyleName: TypeAlias = Literal["release", "plain"]
"""The text around a conversation; see `glamm.text.conversation.PROMPT_STYLES`."""

GlobalEncoderArchitecture: TypeAlias = Literal["clip", "siglip"]
"""Families of global encoders; `siglip` is SigLIP and the SigLIP 2 of fixed resolution."""


@runtime_checkable
class NamedTokens(Protocol):
    """A tokenizer."""

    def token_id(self, token: str) -> int:
        """The id of a special token."""
        ...


class SpecialTokens(Config):
    """Ids of tokens with a meaning for the model.

    Args:
        pad: Pads conversations; LLaMA's unknown token.
        bos: Begins a prompt.
        eos: Ends an answer.
        bbox: Replaced by the embedding of a region.
        seg: The state before it becomes the prompt of a mask.
    """

    pad: int = 0
    bos: int = 1
    eos: int = 2
    bbox: int
    seg: int

    @classmethod
    def at_end_of(cls, vocab_size: int) -> "SpecialTokens":
        """Ids if the added tokens end the vocabulary, as in `glamm.text.tokenizer`."""
        first = vocab_size - len(ADDED_TOKENS)
        return cls(bbox=first + ADDED_TOKENS.index(BOX), seg=first + ADDED_TOKENS.index(SEG))

    @classmethod
    def from_tokenizer(cls, tokenizer: NamedTokens) -> "SpecialTokens":
        """Ids in any vocabulary, looked up by name."""
        return cls(
            pad=tokenizer.token_id(UNKNOWN),
            bos=tokenizer.token_id(BEGIN),
            eos=tokenizer.token_id(END),
            bbox=tokenizer.token_id(BOX),
            seg=tokenizer.token_id(SEG),
        )


class GlobalEncoderConfig(Config):
    """The vision transformer of CLIP or SigLIP.

    Args:
        architecture: Model family.
        image_size: Side of its square input in pixels.
        select_layer: Index of the hidden state that the language model gets, from the end; -1 is the last.
    """

    architecture: GlobalEncoderArchitecture = "clip"
    image_size: PositiveInt = 336
    patch_size: PositiveInt = 14
    hidden_size: PositiveInt = 1024
    intermediate_size: PositiveInt = 4096
    num_layers: PositiveInt = 24
    num_heads: PositiveInt = 16
    select_layer: int = Field(default=-2, lt=0)
    hidden_act: str = "quick_gelu"
    layer_norm_eps: PositiveFloat = 1e-5

    @property
    def grid_size(self) -> int:
        """Number of patches along one side."""
        return self.image_size // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Number of image tokens of an image."""
        return self.grid_size**2


class RegionEncoderConfig(Config):
    """Turns a box, and several hidden states of the global encoder, into one embedding.

    Args:
        width: Channels inside the encoder; in the release, those of the global encoder.
        num_groups: Groups of the group normalization.
        position_dim: Width of the first layer of the position embedding of the box.
        hidden_dim: Width of the layer before the language model's width.
        roi_size: Side of the grid to which a region is sampled.
        sampling_ratio: Samples per bin along each side.
        num_fusion_layers: Number of layers that fuse adjacent levels.
        num_levels: Number of hidden states; the selected one is the last of them.
        level_step: Number of layers between two levels.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "middle_dim": "hidden_dim",
        "num_rounds": "num_fusion_layers",
    }

    width: PositiveInt = 1024
    num_groups: PositiveInt = 64
    position_dim: PositiveInt = 256
    hidden_dim: PositiveInt = 1024
    roi_size: PositiveInt = 14
    sampling_ratio: PositiveInt = 2
    num_fusion_layers: PositiveInt = 5
    num_levels: PositiveInt = 4
    level_step: PositiveInt = 3

    @model_validator(mode="after")
    def _check_width(self) -> "RegionEncoderConfig":
        if self.width % 4 or self.width % self.num_groups:
            raise ValueError(
                f"width {self.width} must be a multiple of 4 and of num_groups {self.num_groups}"
            )
        return self


class GroundingEncoderConfig(Config):
    """SAM's image encoder.

    Args:
        image_size: Side of the padded square in pixels.
        global_attention_layers: Indices of the layers that attend to the whole image; the others attend in windows.
        window_size: Side of a window in patches.
        out_channels: Channels of the image embedding, of prompts and of the mask decoder.
    """

    image_size: PositiveInt = 1024
    patch_size: PositiveInt = 16
    hidden_size: PositiveInt = 1280
    num_layers: PositiveInt = 32
    num_heads: PositiveInt = 16
    global_attention_layers: tuple[int, ...] = (7, 15, 23, 31)
    window_size: PositiveInt = 14
    out_channels: PositiveInt = 256

    @property
    def grid_size(self) -> int:
        """Number of patches along one side."""
        return self.image_size // self.patch_size


class MaskDecoderConfig(Config):
    """SAM's two-way transformer and its heads."""

    num_layers: PositiveInt = 2
    num_heads: PositiveInt = 8
    mlp_dim: PositiveInt = 2048
    iou_head_hidden_dim: PositiveInt = 256


class LossConfig(Config):
    """Weights of the terms of the loss.

    Source: the release's --ce_loss_weight, --bce_loss_weight and --dice_loss_weight.
    """

    ce_weight: float = Field(default=1.0, ge=0)
    bce_weight: float = Field(default=2.0, ge=0)
    dice_weight: float = Field(default=0.5, ge=0)


class CompatConfig(Config):
    """Unexpected behavior of the release that can be reproduced; the defaults are for new models.

    Args:
        roi_base_size: Side in pixels of the square to which boxes are scaled before regions are sampled. None uses the
            size of the image.
        crops_global_image: The global encoder gets a center crop instead of the whole image.
        rounds_regions_to_bf16: The input of the region encoder is rounded to bfloat16.
        drops_surplus_masks: Masks without a [SEG] token are ignored instead of being an error.

    Upstream: `roi_base_size` is 224 although images have 336 pixels, so that regions are sampled from the top left two
        thirds of the image; boxes refer to the whole image although it is cropped; regions are rounded also in
        float32 models; masks beyond the [SEG] tokens are dropped. There is no switch for what is always as in the
        release (the state before [SEG], boxes in order of occurrence), nor for the unknown token, which is also
        padding: here the padding of a conversation follows from its length, so that one in a text is not ignored.
    """

    roi_base_size: PositiveInt | None = None
    crops_global_image: bool = False
    rounds_regions_to_bf16: bool = False
    drops_surplus_masks: bool = False

    @classmethod
    def release(cls) -> "CompatConfig":
        """The settings of the released weights."""
        return cls(roi_base_size=224, crops_global_image=True, rounds_regions_to_bf16=True)


class ModelConfig(Config):
    """Configuration of a whole GLaMM."""

    global_encoder: GlobalEncoderConfig = GlobalEncoderConfig()
    region_encoder: RegionEncoderConfig = RegionEncoderConfig()
    language_model: LanguageModelConfig
    grounding_encoder: GroundingEncoderConfig = GroundingEncoderConfig()
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    special_tokens: SpecialTokens
    losses: LossConfig = LossConfig()
    compat: CompatConfig = CompatConfig()
    prompt_style: PromptStyleName = "plain"

    @model_validator(mode="after")
    def _check_levels(self) -> "ModelConfig":
        encoder, region = self.global_encoder, self.region_encoder
        selected = encoder.num_layers + 1 + encoder.select_layer
        if selected - (region.num_levels - 1) * region.level_step < 0:
            raise ValueError(
                f"{region.num_levels} levels {region.level_step} layers apart do not fit below layer {selected} "
                f"of a global encoder with {encoder.num_layers} layers: lower region_encoder.level_step"
            )
        return self

    @model_validator(mode="after")
    def _check_token_ids(self) -> "ModelConfig":
        vocabulary = self.language_model.vocab_size
        largest = max(self.special_tokens.model_dump().values())
        if largest >= vocabulary:
            raise ValueError(
                f"special token id {largest} is outside the vocabulary of {vocabulary}"
            )
        return self

    @classmethod
    def of_size(cls, size: ModelSize, *, vocab_size: int) -> "ModelConfig":
        """The configuration of a named size.

        Args:
            size: Name of the size.
            vocab_size: `len(tokenizer)`, including the added tokens.
        """
        presets = {"tiny": cls.tiny, "small": cls.small, "7b": cls.seven_b}
        return presets[size](vocab_size=vocab_size)

    @classmethod
    def tiny(cls, *, vocab_size: int) -> "ModelConfig":
        """About four million parameters; trains within minutes on a laptop's CPU."""
        return cls(
            global_encoder=GlobalEncoderConfig(
                image_size=128,
                patch_size=16,
                hidden_size=192,
                intermediate_size=384,
                num_layers=6,
                num_heads=6,
                select_layer=-1,
            ),
            region_encoder=RegionEncoderConfig(
                width=32,
                num_groups=8,
                position_dim=32,
                hidden_dim=64,
                roi_size=7,
                num_fusion_layers=2,
                level_step=1,
            ),
            language_model=LanguageModelConfig(
                vocab_size=vocab_size,
                hidden_size=192,
                intermediate_size=512,
                num_layers=4,
                num_heads=6,
                max_positions=1024,
            ),
            grounding_encoder=GroundingEncoderConfig(
                image_size=128,
                patch_size=8,
                hidden_size=96,
                num_layers=4,
                num_heads=4,
                global_attention_layers=(1, 3),
                window_size=8,
                out_channels=96,
            ),
            mask_decoder=MaskDecoderConfig(num_heads=4, mlp_dim=192, iou_head_hidden_dim=96),
            special_tokens=SpecialTokens.at_end_of(vocab_size),
        )

    @classmethod
    def small(cls, *, vocab_size: int) -> "ModelConfig":
        """About a hundred million parameters and the paper's 576 image tokens; trains within hours on one GPU."""
        return cls(
            global_encoder=GlobalEncoderConfig(
                hidden_size=384, intermediate_size=1536, num_layers=12, num_heads=6
            ),
            region_encoder=RegionEncoderConfig(
                width=128, num_groups=16, position_dim=64, hidden_dim=256, level_step=2
            ),
            language_model=LanguageModelConfig(
                vocab_size=vocab_size,
                hidden_size=512,
                intermediate_size=1376,
                num_layers=12,
                num_heads=8,
            ),
            grounding_encoder=GroundingEncoderConfig(
                image_size=512,
                hidden_size=384,
                num_layers=12,
                num_heads=6,
                global_attention_layers=(2, 5, 8, 11),
                out_channels=256,
            ),
            special_tokens=SpecialTokens.at_end_of(vocab_size),
        )

    @classmethod
    def seven_b(cls, *, vocab_size: int) -> "ModelConfig":
        """The paper's sizes and compatibility switches: CLIP ViT-L/14-336, Vicuna-7B and SAM ViT-H."""
        return cls(
            language_model=LanguageModelConfig(vocab_size=vocab_size),
            special_tokens=SpecialTokens.at_end_of(vocab_size),
            compat=CompatConfig.release(),
            prompt_style="release",
        )
