"""Scenes with exact masks, written as real data sets in the official layouts."""
