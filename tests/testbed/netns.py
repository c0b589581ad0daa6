"""A network namespace of its own: addresses in it are nobody else's, and nothing leaves it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.commands import run_client

NAMES = Path("/run/netns")
"""Where `ip` keeps namespaces that have a name."""

_IP_SECONDS = 30.0
"""Longest that one command of `ip` may take; it needs milliseconds."""

_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)

_left: list[int] = []
"""Namespaces that were left for others, as open files."""


@contextmanager
def outside() -> Iterator[None]:
    """This thread is back during the block in the namespace that was left first, if any: the machine's own."""
    if not _left:
        yield
        return
    with Path("/proc/thread-self/ns/net").open() as here:
        _enter(_left[0])
        try:
            yield
        finally:
            _enter(here.fileno())


@dataclass(frozen=True)
class NetworkNamespace:
    """A network namespace by its name; from a shell, `nsenter --net=PATH COMMAND` runs something in it."""

    name: str

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return NAMES / self.name

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in it during the block, with the threads and processes that it starts meanwhile.

        (`ip netns exec` would mount /sys anew, without the cgroups in it.)
        """
        with Path("/proc/thread-self/ns/net").open() as here, self.path.open() as there:
            _enter(there.fileno())
            _left.append(here.fileno())
            try:
                yield
            finally:
                _left.remove(here.fileno())
                _enter(here.fileno())


def make_namespace(name: str, address: str, bits: int) -> NetworkNamespace:
    """A namespace with loopback and a bridge `node0` that has the address and the default route.

    Raises Unavailable when that is not permitted or `ip` is not there.
    """
    made = NetworkNamespace(name)
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    # A device of the kind `dummy` would do, but not every kernel has it.
    _ip("-n", name, "link", "add", "node0", "type", "bridge")
    _ip("-n", name, "address", "add", f"{address}/{bits}", "dev", "node0")
    _ip("-n", name, "link", "set", "node0", "up")
    _ip("-n", name, "route", "add", "default", "dev", "node0", "src", address)
    with made.entered():
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    return made


def remove_namespace(name: str) -> None:
    """Remove the namespace, if it is there."""
    if (NAMES / name).exists():
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    run_client("ip", *arguments, seconds=_IP_SECONDS)


def _enter(descriptor: int) -> None:
    # os.setns is of Python 3.12.
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
