"""`tusfleet info`, `ls` and `terminate`: look at uploads and remove them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
import httpx

from tusfleet.cli.access import Access, access_options
from tusfleet.cli.failures import Failure, Missing, ServerFailure, Transient
from tusfleet.cli.http_client import detail, open_client, transport_errors
from tusfleet.cli.text import percent, printable, size_text, table
from tusfleet.cli.tus_client import Status, TusClient, decode_metadata
from tusfleet.cli.units import ADDRESS
from tusfleet.cli.uploading import url_option

API_PATH = "/api/v1/uploads"
PAGE = 100
"""Uploads asked for at a time."""

STATES = ("open", "finishing", "finished", "terminated", "expired", "failed")


@click.command(short_help="Show where an upload stands.")
@click.argument("url", type=ADDRESS)
@click.option("--json", "as_json", is_flag=True, help="Print an object instead of lines.")
@access_options
def info(url: str, as_json: bool, access: Access) -> None:
    """Ask the server for the upload at URL: bytes it has, length, expiry and metadata."""
    with open_client(access, url) as http:
        try:
            status = TusClient(http, url).inspect(url)
        except (Missing, Transient) as error:
            raise Failure(_sentence(error)) from None
    facts = _facts(url, status)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _lines(facts))


@click.command(short_help="List the uploads of a server.")
@url_option
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only those in this state; repeatable."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Print at most N uploads.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects instead of a table.")
@access_options
def ls(url: str, states: tuple[str, ...], limit: int | None, as_json: bool, access: Access) -> None:
    """List the uploads of the server that --url leads to; without --state those that can still be asked for."""
    with open_client(access, url) as http:
        try:
            uploads = list(_pages(http, url, states, limit))
        except Transient as error:
            raise Failure(_sentence(error)) from None
    if as_json:
        click.echo(json.dumps(uploads, indent=2, ensure_ascii=False))
    else:
        click.echo(table(("ID", "STATE", "DONE", "SIZE", "CREATED", "EXPIRES", "NAME"), [*map(_row, uploads)]))


@click.command(short_help="Remove uploads from the server.")
@click.argument("urls", nargs=-1, required=True, type=ADDRESS, metavar="URL...")
@access_options
def terminate(urls: tuple[str, ...], access: Access) -> None:
    """Remove the uploads at the given URLs, finished or not, and their bytes."""
    failed = []
    for url in urls:
        with open_client(access, url) as http:
            try:
                TusClient(http, url).terminate(url)
            except (Missing, Transient, Failure) as error:
                if len(urls) == 1:
                    raise Failure(_sentence(error)) from None
                click.echo(f"Error: {_sentence(error)}", err=True)
                failed.append(url)
            else:
                click.echo(f"Removed {printable(url)}", err=True)
    if failed:
        raise Failure(f"{len(failed)} of {len(urls)} uploads could not be removed")


def _sentence(error: Missing | Transient | Failure) -> str:
    text = error.message if isinstance(error, Failure) else str(error)
    return text[:1].upper() + text[1:]


def _facts(url: str, status: Status) -> dict[str, Any]:
    return {
        "url": url,
        "offset": status.offset,
        "length": status.length,
        "complete": status.offset is not None and status.offset == status.length,
        "expires": status.expires,
        "concat": status.concat,
        "metadata": decode_metadata(status.metadata),
    }


def _lines(facts: Mapping[str, Any]) -> str:
    offset, length = facts["offset"], facts["length"]
    has = "not put together yet" if offset is None else f"{offset} bytes ({size_text(offset)})"
    rows = [
        ("url", facts["url"]),
        ("offset", has),
        ("length", "not known yet" if length is None else f"{length} bytes ({size_text(length)})"),
        ("done", percent(offset or 0, length)),
        ("expires", facts["expires"] or "never"),
    ]
    if facts["concat"] is not None:
        rows.append(("concat", facts["concat"]))
    rows += [(f"metadata {key}", value) for key, value in facts["metadata"].items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{printable(name):<{width}}  {printable(value)}".rstrip() for name, value in rows)


def _pages(http: httpx.Client, url: str, states: tuple[str, ...], limit: int | None) -> Iterator[dict[str, Any]]:
    parts = urlsplit(url)
    address = urlunsplit((parts.scheme, parts.netloc, API_PATH, "", ""))
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        query: dict[str, Any] = {"state": list(states), "limit": PAGE if left is None else min(PAGE, left)}
        page = _page(http, address, query if cursor is None else {**query, "cursor": cursor})
        uploads = page["uploads"] if left is None else page["uploads"][:left]
        yield from uploads
        left = None if left is None else left - len(uploads)
        if not (after := page.get("cursor")) or after == cursor:
            return
        cursor = after


def _page(http: httpx.Client, address: str, query: Mapping[str, Any]) -> dict[str, Any]:
    with transport_errors(address):
        response = http.get(address, params=query)
    if response.status_code in {401, 403}:
        raise ServerFailure(f"The server does not list its uploads without the right credentials{detail(response)}")
    if response.status_code != 200:
        raise ServerFailure(f"{address} answered {response.status_code}{detail(response)}; is it a Tusfleet server?")
    try:
        page = response.json()
    except ValueError:
        page = None
    uploads = page.get("uploads") if isinstance(page, dict) else None
    if not isinstance(uploads, list) or not all(isinstance(item, dict) for item in uploads):
        raise ServerFailure(f"{address} answered with something else than a list; is it a Tusfleet server?")
    return dict(page)


def _row(upload: Mapping[str, Any]) -> tuple[str, ...]:
    length, offset, metadata = upload.get("length"), upload.get("offset"), upload.get("metadata")
    known = length if isinstance(length, int) else None
    name = metadata.get("filename") if isinstance(metadata, dict) else None
    cells = (
        upload.get("id"),
        upload.get("state"),
        percent(offset if isinstance(offset, int) else 0, known),
        "?" if known is None else size_text(known),
        _time(upload.get("created_at")),
        _time(upload.get("expires_at")),
        name,
    )
    return tuple(printable(str(cell)) if cell is not None else "-" for cell in cells)


def _time(value: object) -> str | None:
    """A time of the API to the second; as it came if it is none."""
    return None if value is None else str(value)[:19].replace("T", " ")
