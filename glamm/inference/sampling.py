"""Choose the next token. Pure, apart from the state of the random generator."""

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
    """Choose greedily, or sample from the most probable tokens.

    Args:
        logits: Scores of the next token.
        temperature: Divides the logits; 0 takes the most probable token.
        top_p: Sample only from the most probable tokens whose probabilities add up to this value; 1 samples from all.
        generator: On the CPU, one per request, so that a sample does not depend on other requests.

    Returns:
        The id of the token.
    """
    if temperature == 0:
        return int(logits.argmax())
    probabilities = (logits.double().cpu() / temperature).softmax(0)
    if top_p < 1:
        ranked, order = probabilities.sort(descending=True, stable=True)
        is_kept = ranked.cumsum(0) - ranked < top_p
        probabilities = torch.zeros_like(probabilities).scatter(0, order, ranked * is_kept)
    return int(torch.multinomial(probabilities, 1, generator=generator))
