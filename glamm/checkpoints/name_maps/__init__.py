"""Foreign names of our tensors; they appear nowhere else."""
