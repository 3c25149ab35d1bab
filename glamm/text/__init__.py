"""Conversations, templates, grounded captions and the tokenizer. Pure functions."""
