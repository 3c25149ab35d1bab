"""The region encoder."""
