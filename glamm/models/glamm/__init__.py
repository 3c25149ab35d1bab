"""The whole model, composed of the others."""

from glamm.models.glamm.inputs import MultimodalInputs
from glamm.models.glamm.model import GLaMM
from glamm.models.glamm.output import GLaMMOutput

__all__ = ["GLaMM", "GLaMMOutput", "MultimodalInputs"]
