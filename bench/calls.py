"""Python-level calls of small uploads: `python -m bench.calls` lists where they are made.

A count that does not depend on the machine: the server runs under the profiler of the standard library, and what its
start and its end need falls out, since two runs that differ in the number of uploads are compared.
"""

from __future__ import annotations

import argparse
import os
import pstats
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from bench.servers import end, free_port, wait_until_listening

_PROGRAM = """
import cProfile, sys
from tusfleet.cli.main import cli
profile = cProfile.Profile()
try:
    profile.runcall(cli.main, sys.argv[2:], prog_name="tusfleet", standalone_mode=False)
finally:
    profile.dump_stats(sys.argv[1])
"""

BODY = bytes(4096)
TUS = {"Tus-Resumable": "1.0.0"}
_FEW, _MANY = 20, 120
_SECONDS = 60.0

Calls = dict[tuple[str, int, str], int]
"""How often each function was called, by file, line and name."""


def calls_of_an_upload(*, with_upload: bool) -> dict[tuple[str, int, str], float]:
    """Calls of one upload of 4 KiB, by function: a POST and a PATCH, or a creation with upload."""
    few, many = (_calls(count, with_upload=with_upload) for count in (_FEW, _MANY))
    each = {function: (count - few.get(function, 0)) / (_MANY - _FEW) for function, count in many.items()}
    # What is called now and then, such as by timers, belongs to no upload.
    return {function: count for function, count in each.items() if count >= 0.5}


def _calls(uploads: int, *, with_upload: bool) -> Calls:
    with tempfile.TemporaryDirectory() as folder:
        port, stats = free_port(), Path(folder) / "stats"
        options = ["serve", "--port", str(port), "--data-dir", f"{folder}/data", "--durability", "relaxed"]
        command = [sys.executable, "-c", _PROGRAM, str(stats), *options, "--log-level", "warning"]
        # Nobody else's profiler is to be counted.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        server = subprocess.Popen(command, start_new_session=True, env=environment)
        try:
            wait_until_listening(server, port)
            with closing(HTTPConnection("127.0.0.1", port, timeout=_SECONDS)) as client:
                for _ in range(uploads):
                    _upload(client, with_upload=with_upload)
            server.send_signal(signal.SIGTERM)
            server.wait(_SECONDS)
        finally:
            end(server)
        found: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(stats)).stats  # type: ignore[attr-defined]
        return {function: calls for function, (_, calls, *_) in found.items()}


def _upload(client: HTTPConnection, *, with_upload: bool) -> None:
    bytes_follow = {"Content-Type": "application/offset+octet-stream"}
    head = {**TUS, "Upload-Length": str(len(BODY)), "Upload-Metadata": "filename YmVuY2guYmlu"}
    location = _ask(client, "POST", "/files", {**head, **(bytes_follow if with_upload else {})}, with_upload)
    if not with_upload:
        _ask(client, "PATCH", location, {**TUS, **bytes_follow, "Upload-Offset": "0"}, with_body=True)


def _ask(client: HTTPConnection, method: str, path: str, headers: dict[str, str], with_body: bool) -> str:
    client.request(method, path, BODY if with_body else None, headers)
    answer = client.getresponse()
    answer.read()
    if answer.status >= 300:
        raise AssertionError(f"{method} got {answer.status}")
    return answer.headers.get("Location", "").partition("//")[2].partition("/")[2].join(("/", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-upload", action="store_true", help="creation with upload")
    found = calls_of_an_upload(with_upload=parser.parse_args().with_upload)
    print(f"{sum(found.values()):.0f} calls")
    for (file, line, name), count in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{count:7.1f}  {'/'.join(file.split('/')[-2:])}:{line} {name}")


if __name__ == "__main__":
    main()
