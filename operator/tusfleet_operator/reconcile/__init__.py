"""One TusServer, from what is wanted to what is there, and to what is told about it."""

from __future__ import annotations
