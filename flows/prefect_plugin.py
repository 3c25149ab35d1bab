"""Lets people type `prefect deployment run train-glamm`, without the slash that Prefect asks for.

Prefect loads this module through the entry-point group `prefect.plugins` while its command line starts, before the
words are parsed, in every folder whose pyproject.toml has `[tool.prefect.plugins] enabled = true`. It therefore
imports nothing heavy.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

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


@register_hook
def setup_environment(*, ctx: HookContext) -> None:  # noqa: ARG001 - the hook's signature is Prefect's
    """Expand the aliases in this process's own words."""
    sys.argv[:] = expand_aliases(sys.argv)
