"""The `glamm` command: one file a capability, loaded only when it is called."""

from glamm.cli.main import app, main

__all__ = ["app", "main"]
