"""Tusfleet: resumable uploads for one box and for fleets."""

from __future__ import annotations

__version__ = "0.1.0"
