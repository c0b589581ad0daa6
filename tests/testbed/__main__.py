"""`python -m tests.testbed` fetches everything; with `--lock` it pins the npm packages anew."""

from __future__ import annotations

import sys

from tests.testbed.npm import npm_packages, pinned, write_lock


def main(arguments: list[str]) -> None:
    for name in pinned():
        if "--lock" in arguments:
            write_lock(name)
        print(f"{name}: {npm_packages(name)}")


main(sys.argv[1:])
