"""Certificates for servers on this machine, made with openssl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.testbed.commands import run_client

_OPENSSL_SECONDS = 30
"""Longest that openssl may take; it needs milliseconds."""


@dataclass(frozen=True)
class Certificates:
    """A certificate that signs itself, so that it is also the authority to trust, and its key."""

    certificate: Path
    key: Path

    @property
    def authority(self) -> Path:
        """What a client has to trust."""
        return self.certificate


def make_certificates(folder: Path) -> Certificates:
    """A certificate for localhost and 127.0.0.1. Raises Unavailable when openssl is not there."""
    made = Certificates(folder / "server.crt", folder / "server.key")
    run_client(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout", str(made.key), "-out", str(made.certificate),
        seconds=_OPENSSL_SECONDS,
    )  # fmt: skip
    return made
