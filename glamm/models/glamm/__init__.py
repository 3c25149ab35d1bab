"""The whole model: the only place where the parts meet."""
