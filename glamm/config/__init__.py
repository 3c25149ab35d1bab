"""Frozen, typed parameters. No torch."""
