"""One upload in one PATCH, as many measurements begin or need it."""

from __future__ import annotations

from bench.load import Load
from bench.metric import MIB, WrongResult
from bench.servers import Running

WARM_UP_BYTES = 4 * MIB


def upload(load: Load, server: Running, size: int) -> str:
    """Upload `size` bytes and give the path of the upload. Raises WrongResult when HEAD tells another offset."""
    done = load.run("bulk", port=server.port, path=server.server.path, bytes=size)
    if done["offset"] != size:
        raise WrongResult(f"HEAD of {done['location']} tells {done['offset']} after {size} bytes")
    location: str = done["location"]
    return location
