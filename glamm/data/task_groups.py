"""Kinds of conversations that a training step may hold; the names are those of `MixtureConfig`."""

from glamm.structures.sample import Task

GROUP_OF_TASK = {
    Task.GROUNDED_CONVERSATION: "grounded_conversation",
    Task.REFERRING_SEGMENTATION: "referring_segmentation",
    Task.SEMANTIC_SEGMENTATION: "referring_segmentation",
    Task.REGION_CAPTIONING: "region_captioning",
    Task.PHRASE_GROUNDING: "region_captioning",
    Task.IMAGE_CAPTIONING: "image_captioning",
    Task.VQA: "image_captioning",
}

GROUPS_WITH_MASKS = frozenset({"grounded_conversation", "referring_segmentation"})
"""Only these need the grounding encoder."""
