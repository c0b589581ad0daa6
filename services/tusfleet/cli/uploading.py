"""`tusfleet upload`: files and standard input to a tus server, resumed whatever breaks."""

from __future__ import annotations

import mimetypes
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from tusfleet.cli.access import Access, access_options
from tusfleet.cli.contents import LocalFile
from tusfleet.cli.failures import Failure, Interrupted, ServerFailure
from tusfleet.cli.file_upload import FileUpload, send_stream
from tusfleet.cli.http_client import open_client
from tusfleet.cli.progress import Progress
from tusfleet.cli.resume_state import ResumeState, state_folder
from tusfleet.cli.retrying import PATIENCE
from tusfleet.cli.sending import ALGORITHMS, Manner, Sender
from tusfleet.cli.tus_client import TusClient
from tusfleet.cli.units import ADDRESS, DURATION, RATE, SIZE

STANDARD_INPUT = "-"
MOST_PARTS = 64
"""Beyond this a server sees an attack rather than a client."""

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


def url_option(command: Callable[..., None]) -> Callable[..., None]:
    """The address of the upload collection."""
    return click.option(
        "--url",
        type=ADDRESS,
        envvar="TUSFLEET_URL",
        required=True,
        metavar="URL",
        help="Upload collection, such as http://127.0.0.1:8080/files/. [env: TUSFLEET_URL]",
    )(command)


@dataclass(frozen=True, slots=True)
class _Job:
    """What holds for every file of one command."""

    client: TusClient
    endpoint: str
    manner: Manner
    metadata: dict[str, str]
    parts: int
    quiet: bool

    def sender(self, name: str, total: int | None) -> Sender:
        progress = Progress(name, total, stream=sys.stderr, quiet=self.quiet, clock=time.monotonic)
        return Sender(self.client, self.manner, progress, time.monotonic)


@click.command(short_help="Upload files, or standard input.")
@click.argument("files", nargs=-1, required=True, metavar="FILE... | -")
@url_option
@click.option(
    "--metadata", multiple=True, metavar="KEY=VALUE", help="Metadata of the uploads; repeatable. `filename` and "
    "`filetype` are set from the name of the file unless given; KEY= leaves one out."
)  # fmt: skip
@click.option("--parallel", type=click.IntRange(1, MOST_PARTS), default=1, metavar="N", show_default=True,
              help="Send a file in N parts at the same time, put together by the server.")  # fmt: skip
@click.option("--checksum", type=click.Choice(ALGORITHMS),
              help="Have the server verify a digest of every 16 MiB.")  # fmt: skip
@click.option("--chunk-size", type=SIZE, metavar="SIZE",
              help="Most bytes of a request; by default the whole file goes in one.")  # fmt: skip
@click.option("--rate", type=RATE, metavar="SIZE", help="Most bytes per second, such as 10MiB.")
@click.option("--retries", type=click.IntRange(0), metavar="N",
              help="Most tries in a row without progress; by default only the time counts.")  # fmt: skip
@click.option("--give-up-after", type=DURATION, default=PATIENCE, metavar="DURATION",
              help="Time without progress after which to give up. [default: 1m]")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the URLs and what goes wrong.")
@access_options
def upload(
    files: tuple[str, ...],
    url: str,
    metadata: tuple[str, ...],
    parallel: int,
    checksum: str | None,
    chunk_size: int | None,
    rate: int | None,
    retries: int | None,
    give_up_after: float,
    quiet: bool,
    access: Access,
) -> None:
    """Upload files, or standard input with `-`, and print the URL of each on standard output.

    An upload goes on by itself after a cut connection or a restart of the server. When this program itself was
    ended, the same command goes on where it stopped, as long as the file is the same.
    """
    _refuse_odd(files, parallel)
    manner = Manner(chunk_size, checksum, rate, retries, give_up_after)
    with open_client(access, url) as http:
        job = _Job(TusClient(http, url), url, manner, _pairs(metadata), parallel, quiet)
        try:
            _require_features(job, files)
            _send_all(job, files)
        except KeyboardInterrupt:
            resumable = files != (STANDARD_INPUT,)
            how = "run the same command again to go on" if resumable else "standard input has to be sent anew"
            raise Interrupted(f"Interrupted; {how}") from None


def _refuse_odd(files: tuple[str, ...], parallel: int) -> None:
    """Refuse before anything is sent what could only fail after a while."""
    if files.count(STANDARD_INPUT) > 1:
        raise click.UsageError("Standard input (-) can be sent once only.")
    if parallel > 1 and STANDARD_INPUT in files:
        raise click.UsageError("Standard input (-) cannot be sent in parts; leave --parallel out.")
    for name in files:
        if name != STANDARD_INPUT:
            LocalFile(Path(name)).close()


def _require_features(job: _Job, files: tuple[str, ...]) -> None:
    needed = {
        "creation": True,
        "concatenation": job.parts > 1,
        "creation-defer-length": STANDARD_INPUT in files,
        "checksum": job.manner.checksum is not None,
    }
    if not any(wanted for name, wanted in needed.items() if name != "creation"):
        return
    sender = job.sender(job.endpoint, None)
    features = sender.patience().persist(job.client.discover)
    for name, wanted in needed.items():
        if wanted and name not in features.extensions:
            raise ServerFailure(f"The server does not offer the tus extension {name}, which this needs")
    algorithm = job.manner.checksum
    if algorithm is not None and algorithm not in features.algorithms:
        raise ServerFailure(f"The server cannot verify {algorithm}; it offers {', '.join(sorted(features.algorithms))}")


def _send_all(job: _Job, files: tuple[str, ...]) -> None:
    """Send one after the other; what concerns one file alone does not keep back those after it."""
    failed = []
    for name in files:
        try:
            click.echo(_send(job, name))
        except ServerFailure:
            raise
        except Failure as failure:
            if len(files) == 1:
                raise
            click.echo(f"Error: {name}: {failure.message}", err=True)
            failed.append(name)
    if failed:
        raise Failure(f"{len(failed)} of {len(files)} files could not be sent")


def _send(job: _Job, name: str) -> str:
    if name == STANDARD_INPUT:
        stream_sender = job.sender("standard input", None)
        return _shown(stream_sender, lambda: send_stream(stream_sender, sys.stdin.buffer, _told(job.metadata)))
    path = Path(name)
    with LocalFile(path) as file:
        sender = job.sender(path.name, file.size)
        metadata = _told({**_described(path), **job.metadata})
        state = ResumeState(state_folder("uploads", os.environ), _facts(job, file, metadata))
        return _shown(sender, FileUpload(sender, file, state, metadata, job.parts).run)


def _told(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without the name and type that are not to be told."""
    return {key: value for key, value in metadata.items() if value or key not in {"filename", "filetype"}}


def _shown(sender: Sender, action: Callable[[], str]) -> str:
    try:
        url = action()
    except (Failure, KeyboardInterrupt):
        sender.progress.clear()
        raise
    sender.progress.finish()
    return url


def _facts(job: _Job, file: LocalFile, metadata: dict[str, str]) -> dict[str, object]:
    return {
        "file": str(file.path.absolute()),
        "size": file.size,
        "mtime_ns": file.modified,
        # With and without the last slash it is the same collection.
        "endpoint": job.endpoint.rstrip("/"),
        "metadata": metadata,
        "parallel": job.parts,
    }


def _described(path: Path) -> dict[str, str]:
    kind, encoding = mimetypes.guess_type(path.name)
    # A compressed file is not what is inside of it.
    return {"filename": path.name, "filetype": "" if encoding or kind is None else kind}


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise click.UsageError(f"--metadata takes KEY=VALUE with a key of ASCII without spaces or commas: {text!r}")
        if key in pairs:
            raise click.UsageError(f"--metadata {key} was given twice.")
        pairs[key] = value
    return pairs
