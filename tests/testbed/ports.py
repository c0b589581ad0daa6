"""Ports for servers that must be told one: nobody else takes them, not even while their server is dead."""

from __future__ import annotations

import fcntl
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.testbed.cache import cache_root

_RANGE = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections (32,768 and up): one of those on the port of a server that
was killed would keep it from coming back."""

_ATTEMPTS = 200
"""Ports tried before giving up."""


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nothing listens on, kept from other test processes until the block ends."""
    folder = cache_root() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    for port in random.sample(_RANGE, _ATTEMPTS):
        with (folder / str(port)).open("w") as file:
            try:
                # The kernel lets go of it when this process dies, however it dies.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_free(port):
                yield port
                return
    raise RuntimeError(f"none of {_ATTEMPTS} ports is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
