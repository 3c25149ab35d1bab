"""Compare tensors with the release, with a tolerance for each kind."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Differences of the release's float32 from float64: losses 1e-6, states 7e-6, regions 1.2e-5, masks 5e-5, norms of
# gradients 2e-5 (relative). A wrong constant moves some tensor past these limits, and so would bfloat16.
LOSS_TOLERANCE = 2e-5
STATE_TOLERANCE = 5e-5
REGION_TOLERANCE = 1e-4
MASK_TOLERANCE = 5e-4
GRADIENT_TOLERANCE = 1e-4
CHECKSUM_TOLERANCE = 5e-4
"""Worst of both known sets: 8e-5, from AdamW steps on gradients that are only noise. Another learning rate changes norms
by 1e-3 and more."""

RELATIVE_FLOOR = 1e-3
"""Relative differences of smaller norms are computed with this norm, so that noise around zero does not count."""

_TOLERANCES = (
    ("grad_norm", GRADIENT_TOLERANCE),
    ("grad.", GRADIENT_TOLERANCE),
    ("checksums", CHECKSUM_TOLERANCE),
    ("model.", GRADIENT_TOLERANCE),
    ("losses", LOSS_TOLERANCE),
    ("mid.region_", REGION_TOLERANCE),
    ("out.pred_masks", MASK_TOLERANCE),
    ("out.low_res_masks", MASK_TOLERANCE),
    ("out.iou_pred", MASK_TOLERANCE),
    ("out.step_top2", STATE_TOLERANCE),
)
_IS_RELATIVE = ("grad_norm",)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table.

    Args:
        case: Name of the case.
        tensor: Name of the tensor, or of a kind of numbers in the JSON file.
        worst: Largest absolute difference (relative for norms); NaN if the tensor cannot be compared.
        tolerance: Largest difference that is accepted.
        note: Why the tensor cannot be compared, or empty.
    """

    case: str
    tensor: str
    worst: float
    tolerance: float
    note: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the difference is accepted; NaN never is."""
        return self.worst <= self.tolerance


def tolerance_of(name: str, *, is_exact: bool) -> float:
    """The tolerance of a tensor: 0 for integers, the limit of its kind for floating-point numbers."""
    if is_exact:
        return 0.0
    if name.startswith("out.") and name.endswith("loss"):
        return LOSS_TOLERANCE
    return next(
        (limit for prefix, limit in _TOLERANCES if name.startswith(prefix)), STATE_TOLERANCE
    )


def compare_tensors(
    case: str, computed: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> list[Comparison]:
    """Compare every reference tensor with the one of the same name."""
    return [
        _compare(case, name, computed.get(name), expected) for name, expected in reference.items()
    ]


def compare_numbers(
    case: str, kind: str, computed: Mapping[str, float], reference: Mapping[str, float]
) -> list[Comparison]:
    """Compare the numbers of one kind and return the one with the largest difference; empty without numbers.

    Args:
        case: Name of the case.
        kind: "losses", "grad_norms" or "checksums", followed by what they belong to.
        computed: Numbers of this installation by name; a missing one counts as NaN.
        reference: Numbers of the release by name.
    """
    if not reference:
        return []
    differences = {
        name: _difference(
            computed.get(name, math.nan), expected, is_relative=kind.startswith(_IS_RELATIVE)
        )
        for name, expected in reference.items()
    }
    worst = max(differences, key=lambda name: (math.isnan(differences[name]), differences[name]))
    return [
        Comparison(
            case,
            f"{kind}, worst of {len(reference)}: {worst}",
            differences[worst],
            tolerance_of(kind, is_exact=False),
            note="" if worst in computed else "not computed",
        )
    ]


def _difference(value: float, expected: float, *, is_relative: bool) -> float:
    return abs(value - expected) / (max(abs(expected), RELATIVE_FLOOR) if is_relative else 1.0)


def _compare(case: str, name: str, value: Tensor | None, expected: Tensor) -> Comparison:
    tolerance = tolerance_of(name, is_exact=not expected.is_floating_point())
    if value is None:
        return Comparison(case, name, math.nan, tolerance, "not computed")
    if value.shape != expected.shape:
        note = f"shape {tuple(value.shape)} instead of {tuple(expected.shape)}"
        return Comparison(case, name, math.nan, tolerance, note)
    if expected.numel() == 0:
        return Comparison(case, name, 0.0, tolerance)
    worst = (value.detach().to(torch.float64) - expected.to(torch.float64)).abs().max().item()
    return Comparison(case, name, worst, tolerance)
