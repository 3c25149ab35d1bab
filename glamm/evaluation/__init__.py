"""Metrics of the paper, and numerical parity with the official GLaMM code (called the release here)."""
