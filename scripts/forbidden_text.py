"""Refuses text that must not be committed: addresses of package registries, paths of one person's machine.

A registry's address in a lock file breaks everybody behind a mirror; such a path breaks everybody.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Dots are written as classes, so that this file does not match itself.
FORBIDDEN = {
    "address of a package registry": re.compile(
        r"pypi[.]org|pythonhosted[.]org|registry[.](npmjs|yarnpkg)[.]|proxy[.]golang[.]org|sum[.]golang[.]org"
        r"|(static|index)[.]crates[.]io|repo1?[.]maven[.]|(deb|security)[.]debian[.]org|archive[.]ubuntu[.]com"
    ),
    "path of one machine": re.compile(r"(?<![\w.~${}/-])/(work|root|home/[a-z]+)/[\w.]"),
}


def tracked_files() -> list[Path]:
    """Every file that git knows or would add, without what .gitignore names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in sorted(filter(None, listed.stdout.split("\0")))]


def findings(path: Path) -> Iterator[str]:
    """One line per forbidden text in `path`; binary files have none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if match := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {what}: {match.group()}"


def main() -> int:
    found = [finding for path in tracked_files() for finding in findings(path)]
    print("\n".join(found) if found else "Forbidden text: none")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
