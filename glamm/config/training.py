"""The section `train`: how a model is trained."""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from glamm.config.base import Config
from glamm.config.data import LoaderConfig
from glamm.config.model import ModelSize

Phase: TypeAlias = Literal["joint", "global_encoder", "grounding"]
"""`joint` trains the whole model on conversations; the other two train one image encoder alone, as CLIP and SAM were."""

StrategyName: TypeAlias = Literal["auto", "ddp", "fsdp2", "deepspeed_2", "deepspeed_3"]
"""`ddp` keeps the whole model on each device, `fsdp2` shards weights and optimizer, `deepspeed_*` are ZeRO 2 and 3."""

PrecisionName: TypeAlias = Literal["32-true", "bf16-mixed"]
"""Lightning's names: compute in float32, or in bfloat16 where it is precise enough."""


class OptimizerConfig(Config):
    """AdamW with a linear warm-up and a linear decay to zero.

    Args:
        learning_rate: The maximum, at the end of the warm-up.
        encoder_lr_scale: The learning rate of both image encoders is `learning_rate` times this; 0 freezes them.
        warmup_steps: Optimizer steps in which the learning rate rises.
        max_grad_norm: Larger gradients are scaled down to this norm, over all parameters together.

    Source: the paper's WarmupDecayLR, betas, weight decay and clipping; the learning rates are those of the demo.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "encoder_factor": "encoder_lr_scale",
        "clip_norm": "max_grad_norm",
    }

    learning_rate: PositiveFloat = 4e-4
    encoder_lr_scale: NonNegativeFloat = 0.3
    warmup_steps: int = Field(default=20, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0


class ValidationConfig(Config):
    """Validation during training.

    Args:
        interval: Optimizer steps between two validations; there is another one after the last step.
        num_batches: Number of batches of the val split for each task, always the first ones.
        num_images: Number of images with grounded conversations that are logged with masks.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "every_steps": "interval",
        "num_pictures": "num_images",
    }

    interval: PositiveInt = 100
    num_batches: PositiveInt = 4
    num_images: int = Field(default=6, ge=0)


class LoraConfig(Config):
    """Low-rank adapters of the language model's query and value projections.

    They are merged into the weights when the model folder is written.

    Args:
        rank: Rank of the adapters.
        alpha: The output of an adapter is multiplied by `alpha / rank`.
        dropout: Dropout rate before an adapter.

    Source: Hu et al. 2021; the values are the release's.
    """

    rank: PositiveInt = 8
    alpha: PositiveInt = 16
    dropout: float = Field(default=0.05, ge=0, lt=1)


class TrainConfig(Config):
    """How a model is trained.

    Args:
        phase: What is trained.
        seed: Decides random weights, the order of the samples and the wording of the conversations.
        size: Size of a model with random weights.
        init_from: The initial weights: "embedded" for the pretrained `tiny` of this package, a model folder, or None for
            random weights.
        init_grounding_from: A model folder of the same size whose grounding encoder, prompt encoder and mask decoder
            are used instead, so that the phases global_encoder and grounding can run in parallel.
        global_image_size: Side in pixels of the global encoder's input; None keeps that of the initial model. Position
            embeddings are interpolated.
        grounding_image_size: Likewise for the grounding encoder.
        max_steps: Number of optimizer steps.
        accumulate_grad_batches: Forward passes per optimizer step on each device.
        devices: Processes on each machine, one per device; on a CPU, two processes of one thread are faster than one
            of two.
        nodes: Number of machines; for more than one, a launcher such as torchrun starts the processes.
        strategy: How devices share the work; auto is ddp for more than one. fsdp2 and deepspeed are for the phase joint;
            deepspeed needs GPUs and the package deepspeed.
        precision: "32-true" or "bf16-mixed". With the latter, frozen weights that are stored in 16 bits stay so; weights
            that are trained are held in float32 in any case.
        lora: Adapters of the language model, whose other weights are then frozen unless `trainable` names them; None
            for no adapters. For the phase joint.
        trainable: Shell patterns for the names of the parameters that are trained besides adapters, such as
            `region_encoder.*`; None trains all that neither `lora` nor `encoder_lr_scale` freezes. For the phase joint.
        activation_checkpointing: Recompute the activations of the language model in the backward pass instead of keeping
            them: saves memory and takes a third more time there. For the phase joint.
        encoder_cache_mebibytes: Memory of each process for the outputs of frozen image encoders, so that an image of a
            later epoch is not encoded again; 0 disables the cache. For the phase joint; not for strategies that shard
            weights.
        bce_weight: Weight of the binary cross-entropy of masks; None keeps that of the initial model.
        dice_weight: Weight of the dice loss of masks; None keeps that of the initial model.
        checkpoint_steps: Optimizer steps between two checkpoints.
        log_steps: Optimizer steps between two rows of metrics; there is another one after the last step.
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
    max_steps: PositiveInt = 540
    accumulate_grad_batches: PositiveInt = 1
    devices: PositiveInt = 2
    nodes: PositiveInt = 1
    strategy: StrategyName = "auto"
    precision: PrecisionName = "32-true"
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
    def _check_encoder_cache(self) -> "TrainConfig":
        if self.encoder_cache_mebibytes and self.strategy in ("fsdp2", "deepspeed_3"):
            # a device that finds an output in its cache would not gather the shards together with the others
            raise ValueError(
                f"encoder_cache_mebibytes needs whole encoders on every device, and {self.strategy} shards them: "
                "set it to 0 or use ddp"
            )
        return self
