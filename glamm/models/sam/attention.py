"""The attention of SAM's image encoder, with less memory: a global layer of ViT-H would need 1.6 GB at once."""

import torch
from jaxtyping import Float
from segment_anything.modeling.image_encoder import Attention as SamAttention
from segment_anything.modeling.image_encoder import add_decomposed_rel_pos
from torch import Tensor, nn

_MOST_BYTES = 1 << 26
"""Of the scores that are computed at once: those of two heads in a global layer of ViT-H, in bfloat16."""


class ChunkedAttention(SamAttention):
    """SAM's attention, computed for some heads after the others.

    Args:
        original: Provides weights and sizes.
    """

    def __init__(self, original: SamAttention) -> None:
        nn.Module.__init__(self)  # that of SAM would draw new weights
        self.num_heads, self.scale = original.num_heads, original.scale
        self.use_rel_pos = original.use_rel_pos
        self.qkv, self.proj = original.qkv, original.proj
        self.rel_pos_h, self.rel_pos_w = original.rel_pos_h, original.rel_pos_w

    def forward(
        self, x: Float[Tensor, "windows height width channels"]
    ) -> Float[Tensor, "windows height width channels"]:
        """Mix the positions of each window; a global layer has one window per image."""
        windows, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(windows, height * width, 3, self.num_heads, -1)
        size = max(1, _MOST_BYTES // ((height * width) ** 2 * x.element_size()))
        chunks = (part.flatten(0, 1).split(size) for part in qkv.permute(2, 0, 3, 1, 4))
        mixed = torch.cat(
            [
                self._mix(queries, keys, values, (height, width))
                for queries, keys, values in zip(*chunks, strict=True)
            ]
        )
        merged = mixed.view(windows, self.num_heads, height, width, -1).permute(0, 2, 3, 1, 4)
        return self.proj(merged.flatten(3))

    def _mix(
        self,
        queries: Float[Tensor, "heads positions width"],
        keys: Float[Tensor, "heads positions width"],
        values: Float[Tensor, "heads positions width"],
        size: tuple[int, int],
    ) -> Float[Tensor, "heads positions width"]:
        scores = (queries * self.scale) @ keys.transpose(-2, -1)
        if self.use_rel_pos:
            scores = add_decomposed_rel_pos(
                scores, queries, self.rel_pos_h, self.rel_pos_w, size, size
            )
        return scores.softmax(dim=-1) @ values
