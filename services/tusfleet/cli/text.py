"""Numbers and foreign text, written for people."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(size: float) -> str:
    """A number of bytes in the unit that leaves one to four digits: `999 B`, `1.5 GiB`."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("the last unit takes every size")


def clock_text(seconds: float) -> str:
    """A span of time as on a clock: `0:07`, `12:30`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def printable(text: str) -> str:
    """Text that a server or a file name brought, with nothing in it that would steer a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def percent(part: int, whole: int | None) -> str:
    """How much of the whole is there, rounded down: 100 % means all of it."""
    if whole is None:
        return "?"
    return "100%" if part >= whole else f"{part * 100 // whole}%"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns that are as wide as their widest cell; the last one is not filled up."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)
