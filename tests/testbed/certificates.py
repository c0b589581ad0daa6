"""Certificates for servers on this machine, made with openssl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.commands import run_client

_OPENSSL_SECONDS = 30
"""Longest that openssl may take; it needs milliseconds."""

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
"""An elliptic key, which is made at once; one of RSA takes a second of searching for primes."""

_DAYS = ("-days", "30")
"""A cluster that stands to play with outlives a night."""


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
    _openssl(
        "req", "-x509", *_NEW_KEY, *_DAYS, "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout", str(made.key), "-out", str(made.certificate),
    )  # fmt: skip
    return made


@dataclass(frozen=True)
class Authority:
    """An authority that signs certificates of servers and of clients, in a folder of its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What has to be trusted."""
        return self.folder / "ca.crt"

    def issue(self, name: str, subject: str, addresses: Sequence[str] = ()) -> Certificates:
        """A certificate for `subject` (`/O=.../CN=...`), good for servers under `addresses` (`IP:...`, `DNS:...`)
        and for clients."""
        made = Certificates(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        more = ("-addext", f"subjectAltName={','.join(addresses)}") if addresses else ()
        _openssl(
            "req", "-x509", *_NEW_KEY, *_DAYS, "-subj", subject, *more,
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature",
            "-addext", "extendedKeyUsage=serverAuth,clientAuth",
            "-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"),
            "-keyout", str(made.key), "-out", str(made.certificate),
        )  # fmt: skip
        return made


def make_authority(folder: Path, name: str) -> Authority:
    """A new authority. Raises Unavailable when openssl is not there."""
    folder.mkdir(parents=True)
    made = Authority(folder)
    _openssl(
        "req", "-x509", *_NEW_KEY, *_DAYS, "-subj", f"/CN={name}",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", str(folder / "ca.key"), "-out", str(made.certificate),
    )  # fmt: skip
    return made


@dataclass(frozen=True)
class SigningKey:
    """A pair of keys that signs tokens."""

    private: Path
    public: Path


def make_signing_key(folder: Path) -> SigningKey:
    """A new pair. Raises Unavailable when openssl is not there."""
    made = SigningKey(folder / "signing.key", folder / "signing.pub")
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", str(made.private))
    _openssl("pkey", "-in", str(made.private), "-pubout", "-out", str(made.public))
    return made


def _openssl(*arguments: str) -> None:
    run_client("openssl", *arguments, seconds=_OPENSSL_SECONDS)
