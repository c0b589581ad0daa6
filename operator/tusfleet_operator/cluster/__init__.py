"""The API server: what there is, who we are, and the calls that we make."""

from __future__ import annotations
