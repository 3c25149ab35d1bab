"""Lets people type `prefect deployment run train-glamm`, without the slash that Prefect asks for.

Prefect loads this module through the entry-point group `prefect.plugins` while its command line starts, before the
words are parsed, in every folder whose pyproject.toml has `[tool.prefect.plugins] enabled = true`. It therefore
imports nothing heavy.
"""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from prefect.plugins import HookContext, register_hook

ALIASES = {"train-glamm": "train-glamm/default"}


def expand_aliases(words: Sequence[str]) -> list[str]:
    """Replace a flow's bare name by the full name of its default deployment.

    Args:
        words: A process's `sys.argv`.

    Returns:
        The same words; in those of `prefect deployment <verb> …` the first bare name of a flow is expanded.
    """
    expanded = list(words)
    if not _is_deployment_command(words):
        return expanded
    for position in range(3, len(words)):
        if words[position] in ALIASES:
            expanded[position] = ALIASES[words[position]]
            break
    return expanded


def _is_deployment_command(words: Sequence[str]) -> bool:
    if len(words) < 4 or words[1] != "deployment":
        return False
    program = Path(words[0])
    return program.name == "prefect" or program.parts[-2:] == ("prefect", "__main__.py")


def missing_server(words: Sequence[str], api_url: str | None) -> str | None:
    """What to say to a person who asks for a deployment while this machine's server is down.

    Args:
        words: A process's `sys.argv`.
        api_url: Prefect's configured address; only those of this machine are tried.

    Returns:
        One line, or None if there is nothing to say.
    """
    address = urlsplit(api_url or "")
    if not _is_deployment_command(words) or address.hostname not in {"127.0.0.1", "localhost"}:
        return None
    try:
        with socket.create_connection((address.hostname, address.port or 80), timeout=5):
            return None
    except OSError:
        return f"error: no Prefect server answers at {api_url}. Start it with: make up"


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Expand the aliases in this process's own words; say how to start a server that is needed and not there."""
    sys.argv[:] = expand_aliases(sys.argv)
    message = missing_server(sys.argv, ctx.api_url)
    if message:
        sys.exit(message)
