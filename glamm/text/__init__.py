"""Special tokens, conversations, templates, grounded captions and the tokenizer. Pure."""
