"""Names that others gave to the same tensors; they appear nowhere else."""
