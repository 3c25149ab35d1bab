"""Read, write and convert model weights."""

from glamm.checkpoints.store import load_model, load_weights, save_model
from glamm.checkpoints.tensor_file import read_weights, write_weights

__all__ = ["load_model", "load_weights", "read_weights", "save_model", "write_weights"]
