"""Answers: generation, the predictor, images of what it found."""
