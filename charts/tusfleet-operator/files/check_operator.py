"""What `helm test` asks of the operators: that all answer, and that one of them leads."""

from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request

PORT = int(os.environ.get("OPERATOR_PORT", "8081"))
LEADER = "tusfleet_operator_leader 1.0"
PATIENCE = float(os.environ.get("PATIENCE", "120"))


def pages() -> list[str]:
    """The metrics of every operator that is ready; raises OSError while one is not."""
    host = os.environ["OPERATOR_HOST"]
    addresses = sorted({str(found[4][0]) for found in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)})
    found = []
    for address in addresses:
        place = f"[{address}]" if ":" in address else address
        urllib.request.urlopen(f"http://{place}:{PORT}/readyz", timeout=5).close()
        with urllib.request.urlopen(f"http://{place}:{PORT}/metrics", timeout=5) as answer:
            found.append(answer.read().decode())
    return found


def wait_for_a_leader() -> None:
    """Return when all are ready and one leads."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            found = pages()
            said = f"{len(found)} ready, {sum(LEADER in page.splitlines() for page in found)} leads"
            if any(LEADER in page.splitlines() for page in found):
                print(f"Operators: {said}")
                return
        except OSError as error:
            said = str(error)
        if time.monotonic() > deadline:
            raise SystemExit(f"No operator leads: {said}. `kubectl logs` of its pods says why.")
        time.sleep(2)


wait_for_a_leader()
