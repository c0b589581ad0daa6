"""How a client command reaches the server: credentials, further headers, certificates."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from tusfleet.cli.failures import Failure

Command = TypeVar("Command", bound=Callable[..., Any])

_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\xa0-\xff]*)")


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What a request to the server carries and how its certificate is checked.

    Parameters:
        token: bearer token, if there is one. It has no `repr`, so that no message can show it.
        headers: names and values that go with every request to that server.
        cacert: file of certificates to trust instead of the usual ones.
        insecure: take any certificate.
    """

    token: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cacert: Path | None = None
    insecure: bool = False


def access_options(command: Command) -> Command:
    """Give `command` the options of `Access`; it gets one as its argument `access`."""

    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        token: str | None,
        token_file: Path | None,
        headers: tuple[str, ...],
        cacert: Path | None,
        insecure: bool,
        **others: Any,
    ) -> Any:
        access = Access(_token(token, token_file), tuple(map(_header, headers)), cacert, insecure)
        return command(*arguments, access=access, **others)

    file = click.Path(path_type=Path)
    options = (
        click.option(
            "--token",
            envvar="TUSFLEET_TOKEN",
            metavar="TOKEN",
            help="Bearer token. Other users of this machine can see it on the command line: better use the "
            "environment or --token-file. [env: TUSFLEET_TOKEN]",
        ),
        click.option("--token-file", type=file, metavar="FILE", help="File whose first line is the bearer token."),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Header of every request to that server; repeatable.",
        ),
        click.option("--cacert", type=file, metavar="FILE", help="Certificates to trust, PEM."),
        click.option("--insecure", is_flag=True, help="Take any certificate. Anybody on the way can read along."),
    )
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value] # click adds the options, the command gets `access`


def _token(given: str | None, file: Path | None) -> str | None:
    source = "TUSFLEET_TOKEN or --token"
    if file is not None:
        source = f"the first line of {file}"
        try:
            given = next(iter(file.read_text("utf-8").splitlines()), "").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise Failure(f"The token file {file} cannot be read: {reason}") from None
    if given is not None and not _TOKEN.fullmatch(given):
        raise click.UsageError(f"A token has letters, digits and signs only; {source} has something else.")
    return given


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None:
        # The text itself may be a secret, so it is not repeated.
        raise click.UsageError("--header takes 'NAME: VALUE', with a name, a colon and a value on one line.")
    return match[1], match[2].rstrip()
