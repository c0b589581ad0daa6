"""Calls of kubectl, which knows clusters, contexts and every way to log in."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

SECONDS = 60
"""Longest time for one call, with its answer."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the options that the plugin was given.

    Parameters:
        options: that choose cluster, user and namespace; before every command.
    """

    options: Sequence[str]

    def text(self, *arguments: str) -> str:
        """What a command prints.

        Raises:
            click.ClickException: it failed; says what kubectl said.
        """
        done = self._run(arguments)
        if done.returncode:
            raise click.ClickException(done.stderr.strip() or f"kubectl {arguments[0]} ended with {done.returncode}")
        return done.stdout

    def attempt(self, *arguments: str) -> str:
        """What a command prints, or why it failed."""
        done = self._run(arguments)
        return done.stdout if done.returncode == 0 else f"kubectl {' '.join(arguments)}: {done.stderr.strip()}\n"

    def json(self, *arguments: str) -> dict[str, Any]:
        """What a command prints, as an object."""
        found: dict[str, Any] = json.loads(self.text(*arguments, "--output", "json"))
        return found

    def attach(self, *arguments: str) -> int:
        """Run a command on this terminal; gives its exit status."""
        return subprocess.run([_program(), *self.options, *arguments], check=False).returncode

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [_program(), *self.options, *arguments],
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise click.ClickException(f"kubectl {arguments[0]} did not answer within {SECONDS} s") from None


def _program() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise click.ClickException("There is no kubectl on PATH; install it, and try again")
    return found
