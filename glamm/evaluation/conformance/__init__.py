"""Compare this installation with the release: the same inputs and weights must give the same numbers.

A conformance set is a folder with a small model, images, and cases whose tensors the release computed.
"""

from glamm.evaluation.conformance.compare import Comparison
from glamm.evaluation.conformance.layout import ConformanceSet, read_set
from glamm.evaluation.conformance.run import CaseResult, build_model, run_case, run_conformance

__all__ = [
    "CaseResult",
    "Comparison",
    "ConformanceSet",
    "build_model",
    "read_set",
    "run_case",
    "run_conformance",
]
