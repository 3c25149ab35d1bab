"""Compare this installation with the release: the same inputs and weights must give the same numbers."""

from glamm.evaluation.conformance.compare import Comparison
from glamm.evaluation.conformance.run import CaseResult, run_conformance

__all__ = ["CaseResult", "Comparison", "run_conformance"]
