"""Weights & Biases: runs, tables with mask overlays, lineage."""
