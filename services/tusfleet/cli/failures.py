"""What ends a command: one sentence on standard error and an exit code, never a traceback."""

from __future__ import annotations

from typing import ClassVar

import click

EXIT_INTERRUPTED = 130
"""What shells use for a program that Ctrl-C ended: 128 and the number of SIGINT."""


class Failure(click.ClickException):
    """The command cannot do what it was asked; the message says why and what to do next."""


class ServerFailure(Failure):
    """The server as a whole is the reason: other files would meet it too."""


class WrongSetting(Failure):
    """A setting has a value that cannot be; one line, without the usage text around it."""

    exit_code: ClassVar[int] = 2


class Interrupted(Failure):
    """The person at the keyboard ended it."""

    exit_code: ClassVar[int] = EXIT_INTERRUPTED


class Transient(Exception):
    """Something that another try may get over.

    Parameters:
        reason: what happened, a clause for a person.
        retry_after: seconds the server asked to wait, if it did.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Missing(Exception):
    """The server does not know the upload, or not any more (404, 410)."""


class Stopped(Exception):
    """This part was told to stop because the whole is over."""
