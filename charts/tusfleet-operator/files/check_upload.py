"""What `helm test` does with a collection of uploads: sends some bytes, and compares what comes back."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

TUSFLEET = os.environ.get("TUSFLEET_PROGRAM", "/opt/tusfleet/bin/tusfleet")
SIZE = 16 * 2**20
FOLDER = Path(os.environ["HOME"])


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tusfleet(command: str, *arguments: str) -> str:
    """What a command prints; raises SystemExit when it fails."""
    done = subprocess.run([TUSFLEET, command, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"`tusfleet {command}` failed, and said why above.")
    return done.stdout


def upload_and_compare() -> None:
    """Raises SystemExit when the bytes that come back are others, or do not come at all."""
    sent, received = FOLDER / "sent.bin", FOLDER / "received.bin"
    sent.write_bytes(os.urandom(SIZE))
    url = tusfleet("upload", "--quiet", str(sent)).split()[-1]
    print(f"Uploaded {SIZE} bytes: {url}")
    if os.environ.get("DOWNLOADS") == "off":
        print(tusfleet("info", url))
        print("Downloads are off: the server says that it has all bytes, which nothing here can compare.")
    else:
        tusfleet("download", "--quiet", url, "-o", str(received))
        if digest(sent) != digest(received):
            raise SystemExit(f"{url} came back with other bytes than were sent.")
        print(f"They came back as they were, SHA-256 {digest(received)}")
    tusfleet("terminate", url)


upload_and_compare()
