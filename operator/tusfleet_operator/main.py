"""`tusfleet-operator run`."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, TypeVar

import click

from tusfleet_operator.cluster.login import login
from tusfleet_operator.config import Config
from tusfleet_operator.engine.operator import Operator
from tusfleet_operator.metrics import Metrics

Command = TypeVar("Command", bound=Callable[..., Any])

REPOSITORY = "ghcr.io/tusfleet/tusfleet"
"""Image of gateways and janitors, whose tag is the operator's own version."""


def version() -> str:
    """The version of the distribution."""
    return metadata.version("tusfleet")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=version(), prog_name="tusfleet-operator")
def main() -> None:
    """Turn TusServers into everything that takes uploads, and keep it so."""


def option(name: str, *others: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option that may be given by an environment variable too, which has its name."""
    variable = f"TUSFLEET_OPERATOR_{name.removeprefix('--').replace('-', '_').upper()}"
    return click.option(name, *others, envvar=variable, show_envvar=True, show_default=True, **attributes)


@main.command()
@option("--namespace", required=True, help="Namespace of the operator itself, where its Lease is.")
@option(
    "--watch-namespace",
    "watched",
    multiple=True,
    help="A namespace whose TusServers are looked after; may be given several times. Without it: all of them.",
)
@option(
    "--image",
    default=f"{REPOSITORY}:{version()}",
    help="Image of gateways and janitors, unless a TusServer names another.",
)
@option(
    "--identity",
    default=None,
    help="Name of this process among several, that of its pod: it leads again at once when it is restarted.",
)
@option("--lease", default="tusfleet-operator", help="Name of the Lease.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8081,
    help="TCP port of health and metrics.",
)
@option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    help="TusServers that are looked at at the same time.",
)
@option(
    "--resync",
    type=click.FloatRange(1, 86400),
    default=300,
    help="Seconds after which everything is looked at again, whatever watches told.",
)
@option(
    "--discovery",
    type=click.FloatRange(0.1, 86400),
    default=30,
    help="Seconds after which the API server is asked for kinds that somebody may have installed.",
)
@option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    help="How lines of the log are written.",
)
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Least severity that is logged.",
)
def run(
    namespace: str,
    watched: tuple[str, ...],
    image: str,
    identity: str | None,
    lease: str,
    port: int,
    workers: int,
    resync: float,
    discovery: float,
    log_format: str,
    log_level: str,
) -> None:
    """Run the operator until SIGTERM. Any number may run: the one that holds the Lease does the work."""
    configure_logs(json_lines=log_format == "json", level=log_level)
    config = Config(
        namespace=namespace,
        watched=watched or None,
        image=image,
        identity=identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
        lease=lease,
        port=port,
        workers=workers,
        resync=resync,
        discovery=discovery,
    )
    asyncio.run(_until_told(config))


async def _until_told(config: Config) -> None:
    loop = asyncio.get_running_loop()
    operator = Operator(config, Metrics(version()), login, lambda: datetime.now(UTC), random.Random())
    running = asyncio.ensure_future(operator.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("The operator ends, as it was told; everything goes on running without it")


def configure_logs(*, json_lines: bool, level: str) -> None:
    """One line an event on standard error. Of kopf's own only what somebody has to know."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if json_lines else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    handler.addFilter(_worth_telling)


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def _worth_telling(record: logging.LogRecord) -> bool:
    if record.name.startswith("kopf"):
        # Why a watch ended stands in the message; where in kopf that was noticed helps nobody.
        record.exc_info = record.exc_text = None
        # It runs in a thread, and we take care of signals.
        return "OS signals are ignored" not in record.getMessage()
    return True


if __name__ == "__main__":
    main()
