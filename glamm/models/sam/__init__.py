"""The grounding encoder, the prompt encoder and the mask decoder."""
