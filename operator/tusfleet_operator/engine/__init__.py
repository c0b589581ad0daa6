"""What makes the cluster so: a queue of keys, workers, and a view of what there is."""

from __future__ import annotations
