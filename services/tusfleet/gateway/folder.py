"""The data folder belongs to one server at a time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from tusfleet.settings import SettingsError

PAUSE_SECONDS = 0.02


class exclusive:
    """Hold the data folder for one server: two on it would each believe in their own locks.

    It is held until the last process has ended that was forked meanwhile.

    Parameters:
        folder: made when it is not there.
        wait: seconds for another server to go.
    """

    def __init__(self, folder: Path, wait: float = 0.0) -> None:
        self._folder = folder
        self._wait = wait
        self._file = -1

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"data_dir: {self._folder} cannot be used: {error.strerror}") from None
        deadline = time.monotonic() + self._wait
        while not self._taken():
            if time.monotonic() >= deadline:
                os.close(self._file)
                raise SettingsError(f"data_dir: another server uses {self._folder} already") from None
            time.sleep(PAUSE_SECONDS)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
