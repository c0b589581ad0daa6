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


def upload_and_compare() -> None:
    """Raises SystemExit when the bytes that come back are others, CalledProcessError when they do not come at all."""
    sent, received = FOLDER / "sent.bin", FOLDER / "received.bin"
    sent.write_bytes(os.urandom(SIZE))
    said = subprocess.run([TUSFLEET, "upload", "--quiet", str(sent)], check=True, stdout=subprocess.PIPE, text=True)
    url = said.stdout.split()[-1]
    print(f"Uploaded {SIZE} bytes: {url}")
    if os.environ.get("DOWNLOADS") == "off":
        info = subprocess.run([TUSFLEET, "info", url], check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"{info}Downloads are off: the server says that it has them, which nothing here can compare.")
    else:
        subprocess.run([TUSFLEET, "download", "--quiet", url, "-o", str(received)], check=True)
        if digest(sent) != digest(received):
            raise SystemExit(f"{url} came back with other bytes than were sent.")
        print(f"They came back as they were, SHA-256 {digest(received)}")
    subprocess.run([TUSFLEET, "terminate", url], check=True)


upload_and_compare()
