"""The `tusfleet` program: its commands, and how whatever happens in them ends."""

from __future__ import annotations

import importlib
import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any, NoReturn

import click

from tusfleet import __version__
from tusfleet.cli.failures import EXIT_INTERRUPTED

COMMANDS = {
    "serve": "tusfleet.cli.serving:serve",
    "gateway": "tusfleet.cli.serving:gateway",
    "janitor": "tusfleet.cli.janitor:janitor",
    "upload": "tusfleet.cli.uploading:upload",
    "download": "tusfleet.cli.downloading:download",
    "info": "tusfleet.cli.managing:info",
    "ls": "tusfleet.cli.managing:ls",
    "terminate": "tusfleet.cli.managing:terminate",
    "config": "tusfleet.cli.serving:config",
    "version": "tusfleet.cli.main:version",
}
"""Where each command lives, in the order of `--help`."""


class _Commands(click.Group):
    """Imports a command only when it is asked for: an upload need not wait for a server to load."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tusfleet", message="%(prog)s %(version)s")
def cli() -> None:
    """Resumable uploads over HTTP: a tus 1.0.0 server and its client.

    Start with `tusfleet serve`, then `tusfleet upload FILE --url http://127.0.0.1:8080/files/`.
    """


@click.command(short_help="Print the versions in use.")
def version() -> None:
    """Print the version of Tusfleet, of Python and of what serves HTTP."""
    click.echo(f"tusfleet {__version__}")
    click.echo(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    for name in ("uvicorn", "httptools", "uvloop", "fastapi", "httpx"):
        try:
            click.echo(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} is not installed")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage or setting, 130 interrupted."""
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        outcome: Any = cli.main(arguments, prog_name="tusfleet", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    return outcome if isinstance(outcome, int) else 0


if __name__ == "__main__":
    main()
