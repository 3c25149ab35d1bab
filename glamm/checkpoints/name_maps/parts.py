"""Tensor names of the published models that GLaMM is built from: CLIP and language models."""

from glamm.errors import CheckpointError

_CLIP = "global_encoder.clip."
_CLIP_TEXT = (
    "text_model.",
    "text_projection.",
    "visual_projection.",
    "logit_scale",
    "logit_bias",
)
_DERIVED = (".position_ids", ".inv_freq")


def clip_to_ours(name: str) -> str | None:
    """Translate a name of transformers' CLIPModel, CLIPVisionModel or their SigLIP counterparts.

    Returns:
        None for tensors that are not needed: the text encoder, and what can be computed from the configuration.

    Raises:
        CheckpointError: These models have no such tensor.
    """
    if name.startswith(_CLIP_TEXT) or name.endswith(_DERIVED):
        return None
    for prefix in ("vision_model.", ""):
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest.startswith(
            ("embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm.", "head.")
        ):
            return None if rest.startswith("head.") else _CLIP + rest
    raise CheckpointError(f"{name} is not a tensor of a CLIP vision model")


def llama_to_ours(name: str) -> str | None:
    """Translate a name of transformers' causal language models; None for what can be computed from the configuration.

    Raises:
        CheckpointError: These models have no such tensor.
    """
    if name.endswith(_DERIVED):
        return None
    if name.startswith(("model.embed_tokens.", "model.layers.", "model.norm.", "lm_head.")):
        return f"language_model.{name}"
    raise CheckpointError(f"{name} is not a tensor of a language model")
