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
from pathlib import Path

from bench.load import Load
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

_FEW, _MANY = 20, 120
_SECONDS = 60.0
_FOR_EVER_MILLISECONDS = 10**9

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
            Load().run(
                "small",
                port=port,
                path="/files",
                connections=1,
                with_upload=int(with_upload),
                most=uploads,
                milliseconds=_FOR_EVER_MILLISECONDS,
            )
            server.send_signal(signal.SIGTERM)
            server.wait(_SECONDS)
        finally:
            end(server)
        found: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(stats)).stats  # type: ignore[attr-defined]
        return {function: calls for function, (_, calls, *_) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-upload", action="store_true", help="creation with upload")
    found = calls_of_an_upload(with_upload=parser.parse_args().with_upload)
    print(f"{sum(found.values()):.0f} calls")
    for (file, line, name), count in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{count:7.1f}  {'/'.join(file.split('/')[-2:])}:{line} {name}")


if __name__ == "__main__":
    main()
