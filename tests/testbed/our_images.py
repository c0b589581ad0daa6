"""Our images, built from the checkout."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.images import Image, build

ROOT = Path(__file__).resolve().parents[2]

IMAGES = {"tusfleet": "services", "tusfleet-operator": "operator"}
"""Their names, and the folder in which the Dockerfile of each is."""


def our_image(name: str) -> Image:
    """One of them. Raises Unavailable where no image can be built."""
    return build(f"localhost/{name}:dev", ROOT, ROOT / IMAGES[name] / "Dockerfile")
