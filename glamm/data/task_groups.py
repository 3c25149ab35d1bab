"""Task groups: all samples of a training step belong to one. The names are fields of `MixtureConfig`."""

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
"""Task groups whose samples have masks; only they need the grounding encoder."""
