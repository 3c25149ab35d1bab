"""The service, its page, and the Bento that carries both; the only package that knows BentoML."""
