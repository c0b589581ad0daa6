"""Log lines: for a terminal, or one JSON object each for a collector."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

LOGGER = "tusfleet"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; every line written meanwhile carries it."""

FIELDS = ("request_id", "upload_id", "client", "method", "path", "status", "milliseconds", "bytes", "reason")
"""Fields a line may carry besides its message; nothing of a request's headers is among them, so no secret can be."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PrettyFormatter(logging.Formatter):
    """Time, level, message, and the fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{name}={value}" for name, value in _fields(record).items()]
        line = " ".join([_time(record), f"{record.levelname:<7}", record.getMessage(), *fields])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
    id = request_id.get()
    return found if id is None else {"request_id": id, **found}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def configure(*, json_lines: bool, level: str) -> None:
    """Send the log lines of this process to standard error.

    Parameters:
        json_lines: one JSON object a line instead of text.
        level: least severity: debug, info, warning or error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else PrettyFormatter())
    for name in (LOGGER, "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(level.upper())
    # Lines of every request are ours; those of the HTTP server about requests would say the same again.
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
