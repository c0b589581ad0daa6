"""`tusfleet download`: an upload back to a file, resumed with ranges."""

from __future__ import annotations

import os
import re
import sys
import time
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from tusfleet.cli.access import Access, access_options
from tusfleet.cli.failures import Failure, Interrupted, Missing
from tusfleet.cli.fetching import Fetch, Target
from tusfleet.cli.http_client import open_client
from tusfleet.cli.progress import Progress
from tusfleet.cli.resume_state import ResumeState, state_folder
from tusfleet.cli.retrying import PATIENCE
from tusfleet.cli.sending import Manner
from tusfleet.cli.text import printable
from tusfleet.cli.units import ADDRESS, DURATION, RATE

STANDARD_OUTPUT = "-"
NAME_BYTES = 200
"""File systems take 255 bytes; `.part` and some air are added."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]')


@click.command(short_help="Download an upload.")
@click.argument("url", type=ADDRESS)
@click.option("-o", "--output", metavar="FILE", help="Where to write; - for standard output. By default the name that "
              "the server tells, in this folder; a file that is there already is left alone.")  # fmt: skip
@click.option("--rate", type=RATE, metavar="SIZE", help="Most bytes per second, such as 10MiB.")
@click.option("--retries", type=click.IntRange(0), metavar="N", help="Most tries in a row without progress.")
@click.option("--give-up-after", type=DURATION, default=PATIENCE, metavar="DURATION",
              help="Time without progress after which to give up. [default: 1m]")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress, only what goes wrong.")
@access_options
def download(
    url: str,
    output: str | None,
    rate: int | None,
    retries: int | None,
    give_up_after: float,
    quiet: bool,
    access: Access,
) -> None:
    """Download the upload at URL, and print the name of the file.

    Bytes go to FILE.part, which is renamed when all of them are there. The same command goes on where an earlier
    one was ended, unless the upload has changed since.
    """
    manner = Manner(None, None, rate, retries, give_up_after)
    progress = Progress(_title(url, output), None, stream=sys.stderr, quiet=quiet, clock=time.monotonic)
    with open_client(access, url) as http:
        fetch = Fetch(http, url, manner, progress, time.monotonic)
        try:
            if output == STANDARD_OUTPUT:
                _to_standard_output(fetch)
            else:
                click.echo(printable(str(_to_file(fetch, url, output))))
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; run the same command again to go on") from None
        except Missing as missing:
            raise Failure(str(missing)) from None
        finally:
            progress.clear()
    progress.finish()


def _to_standard_output(fetch: Fetch) -> None:
    try:
        fetch.to_stream(sys.stdout.buffer)
    except BrokenPipeError:
        raise  # whoever reads has seen enough, and needs no sentence
    except OSError as error:
        # What Python still holds would be tried once more at its end, with a message of its own.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise Failure(f"Standard output cannot be written: {error.strerror}") from None


def _to_file(fetch: Fetch, url: str, output: str | None) -> Path:
    facts = {"url": url, "output": None if output is None else str(Path(output).absolute()), "folder": str(Path.cwd())}
    state = ResumeState(state_folder("downloads", os.environ), facts)
    with state.locked():
        target = Target(None if output is None else Path(output), state, lambda told: safe_name(told, url))
        fetch.to_file(target)
        return target.path


def safe_name(disposition: str | None, url: str) -> str:
    """A file name, never a path, from Content-Disposition (RFC 6266) or else from the end of the URL."""
    last = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return _sanitised(_told_name(disposition or "")) or _sanitised(last) or "download"


def _told_name(disposition: str) -> str:
    message = Message()
    message["Content-Disposition"] = disposition
    parameters = message.get_params([], header="Content-Disposition")
    told = [value for name, value in parameters if name.lower() == "filename"]
    # An extended value, which comes as a tuple, wins over the plain one beside it (RFC 6266, 4.3).
    best = max(told, key=lambda value: isinstance(value, tuple), default="")
    return collapse_rfc2231_value(best)


def _sanitised(name: str) -> str:
    # The last segment of what some clients send as a whole path; dots in front would hide the file.
    name = re.split(r"[/\\]", name)[-1]
    name = _UNSAFE.sub("_", name).strip(" .")
    return name.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore").strip(" .")


def _title(url: str, output: str | None) -> str:
    return Path(output).name if output and output != STANDARD_OUTPUT else urlsplit(url).path.rpartition("/")[2] or url
