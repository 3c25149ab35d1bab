"""Lets people type `prefect deployment run train-glamm`, without the slash that Prefect asks for.

Prefect loads this module through the entry-point group `prefect.plugins` when its command line starts, before the
arguments are parsed, in every folder whose pyproject.toml has `[tool.prefect.plugins] enabled = true`. It therefore
imports nothing that loads slowly.
"""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from prefect.plugins import HookContext, register_hook

ALIASES = {"train-glamm": "train-glamm/default"}


def expand_aliases(arguments: Sequence[str]) -> list[str]:
    """Replace a flow's name by the full name of its default deployment.

    Args:
        arguments: A process's `sys.argv`.

    Returns:
        The same arguments; in `prefect deployment <verb> ...` the first name of a flow is expanded.
    """
    expanded = list(arguments)
    if not _is_deployment_command(arguments):
        return expanded
    for index in range(3, len(arguments)):
        if arguments[index] in ALIASES:
            expanded[index] = ALIASES[arguments[index]]
            break
    return expanded


def _is_deployment_command(arguments: Sequence[str]) -> bool:
    if len(arguments) < 4 or arguments[1] != "deployment":
        return False
    program = Path(arguments[0])
    return program.name == "prefect" or program.parts[-2:] == ("prefect", "__main__.py")


def missing_server(arguments: Sequence[str], api_url: str | None) -> str | None:
    """The error message for a command that needs a deployment while this machine's server is down.

    Args:
        arguments: A process's `sys.argv`.
        api_url: Prefect's configured address; only addresses of this machine are tried.

    Returns:
        One line; None for other commands and if the server answers.
    """
    address = urlsplit(api_url or "")
    if not _is_deployment_command(arguments) or address.hostname not in {"127.0.0.1", "localhost"}:
        return None
    try:
        with socket.create_connection((address.hostname, address.port or 80), timeout=5):
            return None
    except OSError:
        return f"error: no Prefect server answers at {api_url}. Start it with: make up"


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Expand the aliases in this process's arguments; exit with a message if the server is needed and down."""
    sys.argv[:] = expand_aliases(sys.argv)
    message = missing_server(sys.argv, ctx.api_url)
    if message:
        sys.exit(message)
