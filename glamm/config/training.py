"""How a model is trained."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from glamm.config.base import Config
from glamm.config.data import LoaderConfig
from glamm.config.model import ModelSize

Phase: TypeAlias = Literal["joint", "global_encoder", "grounding"]
"""`joint` trains the whole model on conversations; the other two prepare one part alone, as CLIP and SAM came to be."""


StrategyName: TypeAlias = Literal["auto", "ddp", "fsdp2", "deepspeed_2", "deepspeed_3"]
"""How devices share the work: each holds everything (ddp), weights and optimizer in shards (fsdp2), DeepSpeed's ZeRO."""


class OptimizerConfig(Config):
    """AdamW with a linear warm-up and a linear decay to zero.

    Args:
        learning_rate: Reached at the end of the warm-up.
        encoder_lr_scale: Learning rate of the two image encoders as a share of `learning_rate`; 0 freezes them.
        warmup_steps: From 0 to `learning_rate`.
        max_grad_norm: Largest norm of all gradients together.

    Source: the paper's WarmupDecayLR, betas, weight decay and clipping; the rates are those of `tiny`.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "encoder_factor": "encoder_lr_scale",
        "clip_norm": "max_grad_norm",
    }

    learning_rate: PositiveFloat = 6e-4
    encoder_lr_scale: NonNegativeFloat = 0.3
    warmup_steps: int = Field(default=20, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0


class ValidationConfig(Config):
    """What is looked at while training.

    Args:
        interval: How often.
        num_batches: How many batches of the validation split.
        num_images: How many of their images are logged with masks.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "every_steps": "interval",
        "num_pictures": "num_images",
    }

    interval: PositiveInt = 100
    num_batches: PositiveInt = 4
    num_images: int = Field(default=6, ge=0)


class LoraConfig(Config):
    """Low-rank adapters beside the language model's query and value projections.

    They are added to the weights they stand beside when the model folder is written.

    Args:
        rank: Inner width.
        alpha: An adapter's output is multiplied by `alpha / rank`.
        dropout: Before an adapter.

    Source: Hu et al. 2021; the values are the release's.
    """

    rank: PositiveInt = 8
    alpha: PositiveInt = 16
    dropout: float = Field(default=0.05, ge=0, lt=1)


class TrainConfig(Config):
    """How a model is trained.

    Args:
        phase: What is trained.
        seed: Of weights, order and wording.
        size: Of a model that starts from nothing.
        init_from: "embedded", a model folder, or null to start from nothing. The embedded one is a pretrained `tiny`.
        init_grounding_from: A model folder of the same size whose three parts for masks are taken instead, so that the
            stages global_encoder and grounding can run side by side.
        global_image_size: Side in pixels of what the global encoder sees, null keeps the start's; its position
            embeddings are stretched.
        grounding_image_size: Likewise, of the grounding encoder.
        max_steps: Optimiser steps.
        accumulate_grad_batches: Batches an optimiser step.
        devices: Processes of a machine; on a CPU two with one thread each are faster than one with two.
        nodes: Machines; a launcher starts the processes of more than one.
        strategy: How devices share the work; auto takes ddp for more than one. fsdp2 and deepspeed are of stage
            joint; deepspeed needs GPUs and the package deepspeed.
        precision: "32-true" or "bf16-mixed".
        lora: Adapters of the language model, whose own weights then stand still unless `trainable` names them; null
            for none. Of stage joint.
        trainable: Patterns of the names of the parameters that are trained besides adapters, such as
            `region_encoder.*`; null for all that neither `lora` nor `encoder_lr_scale` holds still. Of stage joint.
        activation_checkpointing: Compute the language model's layers again in the backward pass instead of keeping what
            is inside them: a third more work in it, for memory. Of stage joint.
        encoder_cache_mebibytes: Memory of each process for what image encoders that stand still made of images, so that
            one that comes again is not encoded again; 0 keeps nothing. Of stage joint; not for strategies that
            shard weights.
        bce_weight: Of the masks' cross-entropy, null keeps the model's.
        dice_weight: Of the masks' overlap, null keeps the model's.
        checkpoint_steps: A killed run loses at most so many.
        log_steps: How often metrics are written.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "stage": "phase",
        "start": "init_from",
        "start_grounding": "init_grounding_from",
        "accumulate": "accumulate_grad_batches",
        "recompute_activations": "activation_checkpointing",
    }

    phase: Phase = "joint"
    seed: int = Field(default=0, ge=0)
    size: ModelSize = "tiny"
    init_from: str | None = "embedded"
    init_grounding_from: str | None = None
    global_image_size: PositiveInt | None = None
    grounding_image_size: PositiveInt | None = None
    max_steps: PositiveInt = 200
    accumulate_grad_batches: PositiveInt = 1
    devices: PositiveInt = 2
    nodes: PositiveInt = 1
    strategy: StrategyName = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    lora: LoraConfig | None = None
    trainable: tuple[str, ...] | None = None
    activation_checkpointing: bool = False
    encoder_cache_mebibytes: int = Field(default=0, ge=0)
    bce_weight: NonNegativeFloat | None = 4.0
    dice_weight: NonNegativeFloat | None = None
    checkpoint_steps: PositiveInt = 100
    log_steps: PositiveInt = 10
    optimizer: OptimizerConfig = OptimizerConfig()
    loader: LoaderConfig = LoaderConfig()
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _caches_whole_encoders(self) -> "TrainConfig":
        if self.encoder_cache_mebibytes and self.strategy in ("fsdp2", "deepspeed_3"):
            # one device would skip an encoder whose shards the others ask it for
            raise ValueError(
                f"encoder_cache_mebibytes needs whole encoders on every device, {self.strategy} shards them: "
                "set it to 0 or take ddp"
            )
        return self
