"""The command line: one module for each family of commands, loaded only when it is asked for."""

from __future__ import annotations
