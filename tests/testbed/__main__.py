"""`python -m tests.testbed` fetches what the tests run; `--bench` adds the benchmark's peers; `--lock` pins anew."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.testbed import npm, venvs
from tests.testbed.cargo import cargo_program
from tests.testbed.commands import Unavailable
from tests.testbed.golang import go_program
from tests.testbed.npm import npm_packages
from tests.testbed.venvs import python_environment

FOR_TESTS: dict[str, Callable[[str], Path]] = {
    "tus-js-client": npm_packages,
    "versitygw": go_program,
    "minio": go_program,
    "toxiproxy": go_program,
}
FOR_BENCH: dict[str, Callable[[str], Path]] = {
    "tus-server": npm_packages,
    "tuspyserver": python_environment,
    "tusd": go_program,
    "rustus": cargo_program,
}
LOCKED = {"tus-js-client": npm.write_lock, "tus-server": npm.write_lock, "tuspyserver": venvs.write_lock}


def main(arguments: list[str]) -> None:
    if "--lock" in arguments:
        for name, write_lock in LOCKED.items():
            write_lock(name)
    wanted = FOR_TESTS | FOR_BENCH if "--bench" in arguments else FOR_TESTS
    missing = False
    for name, fetch in wanted.items():
        try:
            print(f"{name}: {fetch(name)}")
        except Unavailable as reason:
            missing = True
            print(f"{name} cannot be had: {reason}", file=sys.stderr)
    if missing:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
