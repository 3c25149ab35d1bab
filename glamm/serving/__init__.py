"""The service and its Bento."""
