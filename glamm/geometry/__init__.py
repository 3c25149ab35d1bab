"""Boxes, masks, and the way from an image to the pixels a model sees and back. Pure functions."""
