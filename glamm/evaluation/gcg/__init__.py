"""Grounded conversation generation: the paper's five numbers."""
