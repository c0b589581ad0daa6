"""`make fleet`: Redis, an S3 server, two gateways, a janitor and a round-robin proxy on this machine, to play with.

Everything ends with Ctrl-C, and nothing of it is kept.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.testbed import redis, s3
from tests.testbed.commands import Unavailable
from tests.testbed.gateways import Fleet, fleet, on_s3
from tests.testbed.golang import go_program

LOOK_SECONDS = 0.5
"""Pause between two looks for gateways that somebody has killed."""


def main() -> int:
    """Start a fleet and stay with it until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make fleet", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the proxy (default: 8080)")
    parser.add_argument("--gateways", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--s3", choices=sorted(s3.SERVERS), default="minio", help="which S3 server (default: minio)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        go_program(options.s3)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tusfleet-fleet-")))
            keys = stack.enter_context(redis.standalone_topology(folder / "redis"))
            storage = stack.enter_context(s3.SERVERS[options.s3](folder / "s3"))
            bucket = storage.bucket()
            running = stack.enter_context(fleet(folder, on_s3(keys, bucket), count=options.gateways, port=options.port))
            tell(running, keys.url, bucket)
            stay(running)
    except Unavailable as reason:
        print(f"make fleet: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def tell(running: Fleet, redis_url: str, bucket: s3.Bucket) -> None:
    """Say where everything is."""
    print(f"uploads    {running.url}   (each connection goes to the next gateway)")
    for number, gateway in enumerate(running.gateways):
        print(f"gateway {number}  {gateway.origin}   kill -9 {gateway.process.pid}")
    print(f"records    {redis_url}")
    print(f"bytes      {bucket.endpoint}/{bucket.name}   ({bucket.server.name})")
    print(f"\n  .venv/bin/tusfleet upload --url {running.url} FILE\n\nCtrl-C ends all of it.", flush=True)


def stay(running: Fleet) -> None:
    """Watch until Ctrl-C, and say which gateways have died."""
    dead: set[int] = set()
    while True:
        time.sleep(LOOK_SECONDS)
        for number, gateway in enumerate(running.gateways):
            if number not in dead and gateway.process.poll() is not None:
                dead.add(number)
                print(f"gateway {number} has died; the others go on", flush=True)


if __name__ == "__main__":
    sys.exit(main())
