"""The global image encoder."""
