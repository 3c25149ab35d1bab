"""Weights in and out: our folders, the release's names, SAM, CLIP and LLaMA files."""
