"""The servers that are compared: ours, the peers that can be had on this machine, and the limits."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from bench.servers import Kind, Server
from tests.testbed.cargo import cargo_program
from tests.testbed.commands import Unavailable
from tests.testbed.golang import go_program
from tests.testbed.npm import npm_packages
from tests.testbed.venvs import python_environment
from tests.testbed.versions import pinned_in

_HOSTS = Path(__file__).parent / "hosts"
_ROOT = Path(__file__).parents[1]

_RUSTUS_BODY_BYTES = 2**40
"""Largest body of one request; by default rustus refuses a PATCH of more than 256 KiB."""

LIMIT_DISCARD = "limit: recv_into, bytes thrown away"
LIMIT_DISK = "limit: recv_into, written to disk"


def tusfleet(durability: str, workers: int = 1) -> Server:
    """Ours, as `tusfleet serve` starts it, with lines of the log only for what went wrong."""
    program = Path(sys.executable).with_name("tusfleet")
    if not program.exists():
        raise Unavailable("no `tusfleet` beside this interpreter; run by `make bench`")
    return Server(
        name=f"tusfleet, {durability}" + (f", {workers} workers" if workers > 1 else ""),
        version=f"{version('tusfleet')} ({_commit()})",
        kind=Kind.OURS,
        command=_words(
            program,
            f"serve --workers {workers} --durability {durability}",
            "--host 127.0.0.1 --port {port} --data-dir {folder} --log-level warning",
        ),
        several=workers > 1,
        note="bytes and records are synced before they are acknowledged"
        if durability == "strict"
        else "writes like the peers, without syncs",
    )


def tusd() -> Server:
    """The reference server in Go; the environment's TUSD names another build of it."""
    own = os.environ.get("TUSD")
    return _peer(
        "tusd",
        "as given by TUSD" if own else pinned_in("go")["tusd"]["version"],
        _words(
            own or go_program("tusd"),
            "-host 127.0.0.1 -port {port} -upload-dir {folder} -base-path /files/",
            "-verbose=false -show-startup-logs=false -show-greeting=false -expose-metrics=false",
        ),
        path="/files/",
        note="its log lines go to /dev/null",
    )


def rustus() -> Server:
    """In Rust, on actix."""
    return _peer(
        "rustus",
        pinned_in("cargo")["rustus"]["version"],
        _words(
            cargo_program("rustus"),
            "--host 127.0.0.1 --port {port} --url /files --data-dir {folder}/files --info-dir {folder}/info",
            f"--log-level ERROR --max-body-size {_RUSTUS_BODY_BYTES}",
        ),
        note="one worker thread per core; may take a whole PATCH, which it holds in memory",
    )


def tus_server() -> Server:
    """In Node.js."""
    modules = npm_packages("tus-server")
    return _peer(
        "@tus/server",
        pinned_in("npm")["tus-server"]["@tus/server"],
        ("node", str(_HOSTS / "tus_server.mjs"), str(modules), "{port}", "{folder}"),
        note=f"with @tus/file-store, Node.js {_output('node', '--version')}",
    )


def tuspyserver() -> Server:
    """In Python, a router for FastAPI."""
    interpreter = python_environment("tuspyserver")
    return _peer(
        "tuspyserver",
        pinned_in("python")["tuspyserver"]["tuspyserver"],
        (str(interpreter), str(_HOSTS / "tuspyserver_host.py"), "{port}", "{folder}"),
        downloads=False,
        note="uvicorn with uvloop and httptools, one process",
    )


def limits() -> list[Server]:
    """Blocking loops that do nothing but take bytes."""

    command = (sys.executable, "-m", "bench.limit", "--port", "{port}")
    python = f"Python {sys.version.split()[0]}"
    here = {"PYTHONPATH": str(_ROOT)}
    return [
        Server(LIMIT_DISCARD, python, Kind.LIMIT, command, environment=here, downloads=False),
        Server(LIMIT_DISK, python, Kind.LIMIT, (*command, "--folder", "{folder}"), environment=here),
    ]


OURS = {
    "tusfleet-relaxed": lambda: tusfleet("relaxed"),
    "tusfleet-strict": lambda: tusfleet("strict"),
    "tusfleet-workers": lambda: tusfleet("relaxed", max(2, os.cpu_count() or 1)),
}
PEERS = {"tusd": tusd, "rustus": rustus, "tus-server": tus_server, "tuspyserver": tuspyserver}


def _peer(
    name: str, version: str, command: tuple[str, ...], *, note: str, path: str = "/files", downloads: bool = True
) -> Server:
    return Server(name, version, Kind.PEER, command, path, downloads=downloads, note=note)


def _words(program: str | Path, *options: str) -> tuple[str, ...]:
    return str(program), *(word for part in options for word in part.split())


def available(names: list[str]) -> tuple[list[Server], dict[str, str]]:
    """The servers among `names` that can be had, then the limits; and why the others cannot."""
    found: list[Server] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            found.append((OURS | PEERS)[name]())
        except Unavailable as reason:
            missing[name] = str(reason)
    return found + limits(), missing


def _commit() -> str:
    try:
        return _output("git", "-C", str(_ROOT), "describe", "--always", "--dirty")
    except Unavailable:
        return "no checkout"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as failure:
        raise Unavailable(f"{command[0]} does not run: {failure}") from failure
