"""How far a transfer is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

from tusfleet.cli.text import clock_text, percent, printable, size_text

REDRAW_SECONDS = 0.1
"""Often enough to look alive, seldom enough to cost nothing."""

LINE_SECONDS = 5.0
"""In a log file a line every few seconds is plenty."""

WINDOW_SECONDS = 5.0
"""The rate is that of the last seconds: what the network gives now, not on average."""

BAR_WIDTH = 20


class Progress:
    """Shows the transfer of one file; parts that move at the same time are added up. Threads may share it.

    Parameters:
        name: what is transferred.
        total: bytes in all; None when that is not known yet.
        stream: where to write, usually standard error.
        quiet: write nothing.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, total: int | None, *, stream: TextIO, quiet: bool, clock: Callable[[], float]
    ) -> None:
        self._name = printable(name)
        self._total = total
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: dict[int, int] = {}
        self._started = self._drawn = clock()
        self._samples: deque[tuple[float, int]] = deque()
        self._first: int | None = None

    def expect(self, total: int) -> None:
        """The number of bytes in all has become known."""
        with self._lock:
            self._total = total

    def stands(self, part: int, position: int) -> None:
        """The server is known to have `position` bytes of `part`: what it had before this run is not our speed."""
        with self._lock:
            self._parts[part] = position
            self._first = None
            self._samples.clear()

    def moved(self, part: int, position: int) -> None:
        """`position` bytes of `part` are on their way."""
        with self._lock:
            self._parts[part] = position
            now, done = self._clock(), sum(self._parts.values())
            self._first = done if self._first is None else min(self._first, done)
            self._samples.append((now, done))
            while now - self._samples[0][0] > WINDOW_SECONDS:
                self._samples.popleft()
            if now - self._drawn >= (REDRAW_SECONDS if self._terminal else LINE_SECONDS):
                self._drawn = now
                self._write(self._line(done), passing=True)

    def note(self, text: str) -> None:
        """Say something beside the bar."""
        with self._lock:
            self._write(f"{self._name}: {printable(text)}", passing=False)

    def finish(self) -> None:
        """Say that it is done, how long it took and how fast it was."""
        with self._lock:
            done = sum(self._parts.values()) if self._total is None else self._total
            seconds = self._clock() - self._started
            sent = done - (done if self._first is None else self._first)
            rate = f", {size_text(sent / seconds)}/s" if sent and seconds else ""
            self._write(f"{self._name}: 100% {size_text(done)} in {clock_text(seconds)}{rate}", passing=False)

    def clear(self) -> None:
        """Leave the line to somebody else, such as an error message."""
        if self._terminal and not self._quiet:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, done: int) -> str:
        rate = self._rate()
        facts = [f"{size_text(done)}" if self._total is None else f"{size_text(done)} / {size_text(self._total)}"]
        if rate:
            facts.append(f"{size_text(rate)}/s")
        if rate and self._total is not None:
            facts.append(f"{clock_text(max(0, self._total - done) / rate)} left")
        share = "" if self._total is None else f"{percent(done, self._total):>4} "
        line = f"{self._name}: {share}{'  '.join(facts)}"
        if self._terminal and self._total and len(line) + BAR_WIDTH + 3 < self._columns():
            line = f"{self._name}: {share}{self._bar(done)} {'  '.join(facts)}"
        return line

    def _columns(self) -> int:
        return shutil.get_terminal_size().columns

    def _bar(self, done: int) -> str:
        filled = min(BAR_WIDTH, BAR_WIDTH * done // (self._total or 1))
        return "[" + "#" * filled + "." * (BAR_WIDTH - filled) + "]"

    def _rate(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (since, before), (now, done) = self._samples[0], self._samples[-1]
        return max(0, done - before) / (now - since) if now > since else 0.0

    def _write(self, text: str, *, passing: bool) -> None:
        if self._quiet:
            return
        if self._terminal:
            self._stream.write("\r\x1b[K" + (text[: self._columns() - 1] if passing else text + "\n"))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
