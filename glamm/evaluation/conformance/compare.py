"""How far two tensors of the same name may lie apart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# float32 noise of the release itself against float64: losses 1e-6, states 7e-6, regions 1.2e-5, masks 5e-5,
# norms of gradients 2e-5 relative. A wrong constant moves some tensor past these limits; bfloat16 would, too.
LOSS_TOLERANCE = 2e-5
STATE_TOLERANCE = 5e-5
REGION_TOLERANCE = 1e-4
MASK_TOLERANCE = 5e-4
GRADIENT_TOLERANCE = 1e-4
CHECKSUM_TOLERANCE = 5e-4
"""Worst of both known sets: 8e-5, by AdamW's steps along gradients that are only noise; another learning rate moves
norms by 1e-3 and more."""

RELATIVE_FLOOR = 1e-3
"""Norms below it are compared as if they were as large, so that noise around zero does not count."""

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
        tensor: Name of the tensor, or of a number in the JSON file.
        worst: Largest absolute difference (relative for norms); NaN where there is nothing to compare.
        tolerance: How much is allowed.
        note: Why there is nothing to compare, or empty.
    """

    case: str
    tensor: str
    worst: float
    tolerance: float
    note: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.worst <= self.tolerance


def tolerance_of(name: str, *, is_exact: bool) -> float:
    """What is allowed for a tensor: nothing for integers, the stated limit of its kind for numbers."""
    if is_exact:
        return 0.0
    if name.startswith("out.") and name.endswith("loss"):
        return LOSS_TOLERANCE
    return next((limit for start, limit in _TOLERANCES if name.startswith(start)), STATE_TOLERANCE)


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
    """Compare the numbers of one kind and report the worst; nothing when there are none.

    Args:
        case: Name of the case.
        kind: "losses", "grad_norms" or "checksums", and what they are of.
        computed: Ours by name; a name that is missing counts as NaN.
        reference: Theirs.
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
