"""The generation engine, the predictor, sessions and overlays."""
