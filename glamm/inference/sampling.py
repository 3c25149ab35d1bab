"""Choose the next token. Pure, apart from the generator that is given."""

import torch
from jaxtyping import Float
from torch import Tensor


def choose_token(
    logits: Float[Tensor, " vocabulary"],
    *,
    temperature: float,
    top_p: float,
    generator: torch.Generator | None,
) -> int:
    """Choose greedily, or draw from the most probable tokens.

    Args:
        logits: Of the next token.
        temperature: 0 takes the most probable token; lower than 1 sharpens, higher than 1 flattens.
        top_p: Only the most probable tokens that together reach this probability are drawn from; 1 is all.
        generator: On the CPU, one a request, so that a draw does not depend on who else is answered.

    Returns:
        The id.
    """
    if temperature == 0:
        return int(logits.argmax())
    probabilities = (logits.double().cpu() / temperature).softmax(0)
    if top_p < 1:
        ranked, order = probabilities.sort(descending=True, stable=True)
        is_kept = ranked.cumsum(0) - ranked < top_p
        probabilities = torch.zeros_like(probabilities).scatter(0, order, ranked * is_kept)
    return int(torch.multinomial(probabilities, 1, generator=generator))
