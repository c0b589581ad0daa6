"""What happened in a walk, step by step, for whoever has to understand a violation."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Journal:
    """The steps of all who take part, in the order of their beginnings and ends."""

    began: float = field(default_factory=time.monotonic)
    _lines: list[tuple[float, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, who: str, what: str) -> None:
        """Add a line."""
        with self._lock:
            self._lines.append((time.monotonic() - self.began, who, what))

    def __len__(self) -> int:
        return len(self._lines)

    def text(self, *who: str, last: int | None = None) -> str:
        """The lines of some, or of all; only the `last` ones."""
        with self._lock:
            lines = [line for line in self._lines if not who or line[1] in who]
        return "\n".join(f"{at:8.3f} {name:8} {what}" for at, name, what in (lines[-last:] if last else lines))
