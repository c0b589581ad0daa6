"""What a transfer needs to go on after its own death: a small file for each, and a lock so that two do not fight."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tusfleet.cli.failures import Failure

KEEP_SECONDS = 90 * 86400
"""Files of transfers that nobody took up for three months are cleared away; servers forget uploads sooner."""


def state_folder(kind: str, environment: Mapping[str, str]) -> Path:
    """Where the files of one kind of transfer live (XDG base directory specification).

    Parameters:
        kind: `uploads` or `downloads`.
    """
    base = environment.get("XDG_STATE_HOME", "")
    # The specification says that a path which is not absolute is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "tusfleet" / kind


def fingerprint(facts: Mapping[str, object]) -> str:
    """A name made of everything that makes two transfers the same one."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:40]


class ResumeState:
    """The file of one transfer, named by its fingerprint.

    Parameters:
        folder: made when it is not there; only its owner may look in, since upload URLs let others write.
        facts: what the fingerprint is made of; kept in the file for the curious.
    """

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self._folder = folder
        self._facts = dict(facts)
        name = fingerprint(facts)
        self.file = folder / f"{name}.json"
        self._lock_file = folder / f"{name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the transfer for this process.

        Raises:
            Failure: another process has it, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._clear_old()
            handle = self._acquire()
        except OSError as error:
            raise Failure(
                f"The state folder {self._folder} cannot be used: {error.strerror}; XDG_STATE_HOME names another place"
            ) from None
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                self._lock_file.unlink()
            os.close(handle)

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None when there is nothing, or nothing that can be read."""
        try:
            content = json.loads(self.file.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        saved = content.get("saved") if isinstance(content, dict) else None
        return saved if isinstance(saved, dict) else None

    def save(self, saved: Mapping[str, Any]) -> None:
        """Replace what was saved, whole or not at all."""
        text = json.dumps({"facts": self._facts, "saved": dict(saved)}, indent=1)
        draft = self.file.with_suffix(".new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self.file)
        except OSError as error:
            raise Failure(f"The state file {self.file} cannot be written: {error.strerror}") from None

    def remove(self) -> None:
        """Forget the transfer."""
        with suppress(FileNotFoundError):
            self.file.unlink()

    def _acquire(self) -> int:
        while True:
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it before may have removed the file between our opening and our locking it.
                if os.path.samestat(os.fstat(handle), os.stat(self._lock_file)):
                    return handle
            except FileNotFoundError:
                pass
            except BlockingIOError:
                os.close(handle)
                raise Failure("Another run of tusfleet is busy with this very transfer") from None
            os.close(handle)

    def _clear_old(self) -> None:
        limit = time.time() - KEEP_SECONDS
        for file in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < limit and file != self.file:
                    file.unlink()
