"""Answers: generation, the predictor, pictures of what it found."""
