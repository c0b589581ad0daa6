"""Small servers for the tests of the test bed's own machinery."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.testbed.processes import Program, accepts

SERVER = """
import os, signal, socket, sys, time

if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(600)
print("listening", flush=True)
listener = socket.create_server(("127.0.0.1", {port}))
while True:
    listener.accept()[0].close()
"""
"""Listens, with a child that would outlive it."""


def small_server(folder: Path, port: int, *, stubborn: bool = False) -> Program:
    """A server with a child; a stubborn one does not end when it is asked to."""
    command = [sys.executable, "-I", "-c", SERVER.format(port=port, stubborn=stubborn)]
    return Program("small", command, folder, ready=lambda: accepts(port))


def failing_server(folder: Path) -> Program:
    """Says why it cannot start, and ends."""
    command = [sys.executable, "-I", "-c", "raise SystemExit('no such setting')"]
    return Program("failing", command, folder, ready=lambda: False)
