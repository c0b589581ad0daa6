"""The Kubernetes operator: it turns one TusServer into everything that the fleet needs, and keeps it so."""

from __future__ import annotations
