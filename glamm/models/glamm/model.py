"""The whole model, composed of its parts.

Axis names: ``conversations`` of a batch, ``images`` of a batch, ``positions`` tokens after each image placeholder was
replaced by its image tokens, ``masks`` [SEG] tokens of an image.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, UInt8
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from glamm.config.model import ModelConfig
from glamm.errors import DataError
from glamm.models.clip.encoder import GlobalImageEncoder, ImageFeatures
from glamm.models.clip.projector import ImageProjector
from glamm.models.glamm.inputs import MultimodalInputs
from glamm.models.glamm.losses import mask_losses, predicting_positions, token_losses
from glamm.models.glamm.new_parts import (
    build_image_projector,
    build_region_encoder,
    build_text_to_mask_projector,
)
from glamm.models.glamm.output import GLaMMOutput
from glamm.models.glamm.prefix_packing import find_shared_prefixes
from glamm.models.glamm.splice import (
    check_counts,
    check_mask_sizes,
    find_image_span,
    scatter_region_embeddings,
)
from glamm.models.language.causal import LanguageModel, build_language_model
from glamm.models.region.encoder import RegionEncoder
from glamm.models.sam.grounding_encoder import GroundingEncoder
from glamm.models.sam.mask_decoder import (
    MaskDecoder,
    build_mask_decoder,
    build_prompt_encoder,
    restore_mask_logits,
)
from glamm.models.sam.projector import TextToMaskProjector
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID
from glamm.typing import Size


class GLaMM(nn.Module):
    """Answers questions about an image with text, and with a mask for every [SEG] token that it generates.

    Frozen parts need no memory for gradients: autograd keeps no graph below them.

    Args:
        config: Provides token ids, loss weights and compatibility switches; only `from_config` reads the sizes.
        global_encoder: CLIP or SigLIP, encodes the image for the language model.
        image_projector: From the global encoder's width to the language model's.
        region_encoder: Turns boxes into embeddings.
        language_model: A LLaMA or Qwen.
        text_to_mask_projector: Turns states before [SEG] into prompts of the mask decoder.
        grounding_encoder: SAM's image encoder, encodes the image for the mask decoder.
        prompt_encoder: SAM's, provides position embeddings and the "no mask" prompt.
        mask_decoder: SAM's, predicts masks from prompts.

    Source: Rasheed et al. 2023 (arXiv 2311.03356), section 3.
    """

    def __init__(  # noqa: PLR0913 - one argument a part
        self,
        *,
        config: ModelConfig,
        global_encoder: GlobalImageEncoder,
        image_projector: ImageProjector,
        region_encoder: RegionEncoder,
        language_model: LanguageModel,
        text_to_mask_projector: TextToMaskProjector,
        grounding_encoder: GroundingEncoder,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
    ) -> None:
        super().__init__()
        self.config = config
        self.global_encoder = global_encoder
        self.image_projector = image_projector
        self.region_encoder = region_encoder
        self.language_model = language_model
        self.text_to_mask_projector = text_to_mask_projector
        self.grounding_encoder = grounding_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    @classmethod
    def from_config(cls, config: ModelConfig) -> "GLaMM":
        """Build with random weights, drawn from torch's global generator."""
        return cls(
            config=config,
            global_encoder=GlobalImageEncoder.from_config(
                config.global_encoder,
                num_levels=config.region_encoder.num_levels,
                level_step=config.region_encoder.level_step,
            ),
            image_projector=build_image_projector(config),
            region_encoder=build_region_encoder(config),
            language_model=build_language_model(
                config.language_model, eos_token_id=config.special_tokens.eos
            ),
            text_to_mask_projector=build_text_to_mask_projector(config),
            grounding_encoder=GroundingEncoder.from_config(config.grounding_encoder),
            prompt_encoder=build_prompt_encoder(config.grounding_encoder),
            mask_decoder=build_mask_decoder(
                config.mask_decoder, channels=config.grounding_encoder.out_channels
            ),
        )

    def forward(self, batch: Batch) -> GLaMMOutput:
        """Compute the loss of a batch, and its masks.

        Raises:
            DataError: The number of [SEG] tokens differs from that of masks, or the number of `<bbox>` tokens from
                that of boxes, or no token is supervised; the message names the sample and both numbers.
        """
        features = self.encode_image(batch.global_pixels)
        inputs = self.build_inputs(batch, features)
        states = self.run_language_model(inputs)
        ce_loss = self.token_loss(inputs, states, sample_ids=batch.sample_ids)
        mask_logits, targets = self.predict_masks(batch, inputs, states)
        if mask_logits:
            bce_loss, dice_loss = mask_losses(mask_logits, targets)
        else:
            bce_loss = dice_loss = ce_loss.new_zeros(())
        weights = self.config.losses
        loss = (
            weights.ce_weight * ce_loss
            + weights.bce_weight * bce_loss
            + weights.dice_weight * dice_loss
        )
        return GLaMMOutput(loss, ce_loss, bce_loss, dice_loss, mask_logits)

    def encode_image(self, global_pixels: UInt8[Tensor, "images 3 height width"]) -> ImageFeatures:
        """Run the global encoder once for each image."""
        return self.global_encoder(global_pixels)

    def encode_grounding(
        self,
        grounding_pixels: UInt8[Tensor, "images 3 side side"],
        resized_sizes: tuple[Size, ...],
    ) -> Float[Tensor, "images channels grid grid"]:
        """Run the grounding encoder once for each image."""
        return self.grounding_encoder(grounding_pixels, resized_sizes)

    def encode_regions(
        self,
        features: ImageFeatures,
        boxes_xyxy_unit: Sequence[Float[Tensor, "_ 4"]],
        image_index: Int[Tensor, " conversations"],
    ) -> Float[Tensor, "regions hidden"]:
        """Encode the boxes of all conversations, in order; images without boxes are not processed."""
        counts = torch.tensor([len(boxes) for boxes in boxes_xyxy_unit], device=image_index.device)
        images, index = image_index.repeat_interleave(counts).unique(return_inverse=True)
        levels = tuple(level[images] for level in features.levels)
        return self.region_encoder(levels, torch.cat(tuple(boxes_xyxy_unit)), index)

    def build_inputs(self, batch: Batch, features: ImageFeatures) -> MultimodalInputs:
        """Embed the text and insert image tokens and regions.

        Args:
            batch: Conversations, padded to the same length.
            features: `encode_image` of the batch's images.

        Raises:
            DataError: A conversation does not have exactly one image placeholder, or its number of `<bbox>` tokens
                differs from its number of boxes.
        """
        is_region = batch.input_ids == self.config.special_tokens.bbox
        check_counts(
            is_region.sum(1).tolist(),
            [len(boxes) for boxes in batch.boxes_xyxy_unit],
            placeholder="<bbox>",
            items="boxes",
            sample_ids=batch.sample_ids,
        )
        text_ids = batch.input_ids.masked_fill(
            batch.input_ids == IMAGE_PLACEHOLDER_ID, self.config.special_tokens.pad
        )
        text = self.language_model.get_input_embeddings()(text_ids)
        if any(len(boxes) for boxes in batch.boxes_xyxy_unit):
            regions = self.encode_regions(features, batch.boxes_xyxy_unit, batch.image_index)
            text = scatter_region_embeddings(text, is_region, regions)
        tokens = self.image_projector(features.tokens)
        span = find_image_span(
            batch.input_ids, num_tokens=tokens.shape[1], sample_ids=batch.sample_ids
        )
        return MultimodalInputs(
            embeddings=span.expand_embeddings(text, tokens[batch.image_index]),
            attention_mask=span.expand(batch.attention_mask, image_value=1),
            token_ids=span.expand(batch.input_ids, image_value=IMAGE_PLACEHOLDER_ID),
            labels=span.expand(batch.labels, image_value=IGNORE_LABEL),
            image_index=batch.image_index,
        )

    def run_language_model(
        self, inputs: MultimodalInputs
    ) -> Float[Tensor, "conversations positions hidden"]:
        """Run the language model; conversations about one image share the computation of their common prefix.

        Returns:
            The normalized states of the last layer; their values on padding are arbitrary.
        """
        packed = find_shared_prefixes(
            inputs.token_ids,
            inputs.attention_mask,
            inputs.image_index,
            region_token_id=self.config.special_tokens.bbox,
        )
        if packed is None:
            return self.language_model.model(
                inputs_embeds=inputs.embeddings,
                attention_mask=inputs.attention_mask.long(),
                use_cache=False,
            ).last_hidden_state
        states = self.language_model.model(
            inputs_embeds=packed.pack(inputs.embeddings),
            attention_mask=packed.attention_mask,
            position_ids=packed.positions,
            use_cache=False,
        ).last_hidden_state
        return packed.unpack(states)

    def token_loss(
        self,
        inputs: MultimodalInputs,
        states: Float[Tensor, "conversations positions hidden"],
        *,
        sample_ids: Sequence[str],
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy of the supervised tokens; the head runs only at the positions that predict them.

        Raises:
            DataError: No token of the batch is supervised.
        """
        conversation, position = predicting_positions(inputs.labels).unbind(1)
        if len(conversation) == 0:
            raise DataError("no token is supervised", record=", ".join(sample_ids))
        logits = self.language_model.lm_head(states[conversation, position])
        return token_losses(logits, inputs.labels[conversation, position + 1]).mean()

    def predict_masks(
        self,
        batch: Batch,
        inputs: MultimodalInputs,
        states: Float[Tensor, "conversations positions hidden"],
    ) -> tuple[tuple[Float[Tensor, "_ _ _"], ...], tuple[Bool[Tensor, "_ _ _"], ...]]:
        """Decode the masks of all images.

        Args:
            batch: Provides target masks and image sizes.
            inputs: `build_inputs` of the batch.
            states: `run_language_model` of the inputs.

        Returns:
            (logits, targets) for each image at its original size; both empty if the batch has no grounding pixels.

        Raises:
            DataError: The number of [SEG] tokens differs from that of masks, or the size of a mask from its image's.
        """
        seg_states = self.select_seg_states(inputs, states, batch)
        counts = [len(chosen) for chosen in seg_states]
        names = _names_of_images(batch)
        if batch.grounding_pixels is None:
            check_counts(
                counts, [0] * len(counts), placeholder="[SEG]", items="masks", sample_ids=names
            )
            return (), ()
        targets = batch.masks
        if self.config.compat.drops_surplus_masks:
            targets = tuple(target[:count] for target, count in zip(targets, counts, strict=True))
        check_counts(
            counts,
            [len(target) for target in targets],
            placeholder="[SEG]",
            items="masks",
            sample_ids=names,
        )
        check_mask_sizes(targets, batch.original_sizes, names)
        mask_logits = self.decode_masks(
            seg_states, batch.grounding_pixels, batch.resized_sizes, batch.original_sizes
        )
        return mask_logits, targets

    def select_seg_states(
        self,
        inputs: MultimodalInputs,
        states: Float[Tensor, "conversations positions hidden"],
        batch: Batch,
    ) -> tuple[Float[Tensor, "_ hidden"], ...]:
        """For each image, the state BEFORE every [SEG] token of its conversations, in order.

        Upstream: the release also takes the state that predicts the token, not the state at the token.
        """
        is_predicting = inputs.token_ids[:, 1:] == self.config.special_tokens.seg
        conversation, position = is_predicting.nonzero().unbind(1)
        chosen, image = states[conversation, position], batch.image_index[conversation]
        return tuple(chosen[image == index] for index in range(len(batch.global_pixels)))

    def decode_masks(
        self,
        seg_states: Sequence[Float[Tensor, "_ hidden"]],
        grounding_pixels: UInt8[Tensor, "images 3 side side"],
        resized_sizes: Sequence[Size],
        original_sizes: Sequence[Size],
    ) -> tuple[Float[Tensor, "_ _ _"], ...]:
        """Turn states into masks; images without states are not encoded.

        Args:
            seg_states: For each image, one state per mask.
            grounding_pixels: RGB before normalization, each image at the top left of its square.
            resized_sizes: (height, width) of each image inside its square.
            original_sizes: (height, width) of each original image.

        Returns:
            For each image, float32 logits at its original size.
        """
        wanted = [index for index, chosen in enumerate(seg_states) if len(chosen)]
        counts = [len(chosen) for chosen in seg_states]
        low: Sequence[Tensor] = [chosen.new_zeros((0, 1, 1)) for chosen in seg_states]
        if wanted:
            embeddings = self.encode_grounding(
                grounding_pixels[wanted], tuple(resized_sizes[index] for index in wanted)
            )
            encoded_index = torch.arange(len(wanted), device=embeddings.device)
            image_index = encoded_index.repeat_interleave(
                torch.tensor([counts[index] for index in wanted], device=embeddings.device)
            )
            low = self.decode_seg_states(
                torch.cat(tuple(seg_states)), embeddings, image_index
            ).split(counts)
        return tuple(
            self.restore_masks(logits, resized_size=resized, original_size=original)
            for logits, resized, original in zip(low, resized_sizes, original_sizes, strict=True)
        )

    def decode_seg_states(
        self,
        seg_states: Float[Tensor, "masks hidden"],
        embeddings: Float[Tensor, "images channels grid grid"],
        image_index: Int[Tensor, " masks"],
    ) -> Float[Tensor, "masks low low"]:
        """Decode the masks of all images in one run of the mask decoder.

        Args:
            seg_states: One per mask; at least one.
            embeddings: Output of the grounding encoder.
            image_index: Index into `embeddings` for each mask.

        Returns:
            Logits on the padded squares; one side has four times as many pixels as the embedding.
        """
        prompts = self.text_to_mask_projector(seg_states)[:, None]
        logits, _ = self.mask_decoder(
            prompts, embeddings, image_index, prompt_encoder=self.prompt_encoder
        )
        return logits

    def restore_masks(
        self,
        mask_logits: Float[Tensor, "masks low low"],
        *,
        resized_size: Size,
        original_size: Size,
    ) -> Float[Tensor, "masks height width"]:
        """Resize the masks of one image to its original size, in float32; there may be none."""
        if not len(mask_logits):
            return mask_logits.new_zeros((0, *original_size), dtype=torch.float32)
        return restore_mask_logits(
            mask_logits,
            padded_size=self.config.grounding_encoder.image_size,
            resized_size=resized_size,
            original_size=original_size,
        )


def _names_of_images(batch: Batch) -> list[str]:
    """The sample ids of each image's conversations, for messages."""
    index = batch.image_index.tolist()
    return [
        ", ".join(
            name for name, image in zip(batch.sample_ids, index, strict=True) if image == wanted
        )
        for wanted in range(len(batch.global_pixels))
    ]
