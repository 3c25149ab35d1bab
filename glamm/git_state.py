"""The commit of a working tree, and whether its files are those of the commit."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GitState:
    """A version of the code.

    Args:
        revision: Hash of the commit, 40 hexadecimal digits.
        is_clean: No tracked file differs from the commit.
    """

    revision: str
    is_clean: bool


def read_git_state(folder: Path | None = None) -> GitState | None:
    """The state of the working tree that a folder is in.

    Args:
        folder: The working directory by default.

    Returns:
        None without git, outside a repository, or before the first commit.
    """
    try:
        revision = _git("rev-parse", "HEAD", folder=folder)
        changes = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        return None
    return GitState(revision, is_clean=not changes)


def _git(*arguments: str, folder: Path | None) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    ).stdout.strip()
