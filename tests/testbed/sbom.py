"""Bills of materials of our images: `make sbom` writes one for each, in the JSON of CycloneDX.

They are read from the images as they are built, layer by layer, not from what the Dockerfiles ask for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.testbed.commands import Unavailable, run_client
from tests.testbed.our_images import IMAGES, ROOT, our_image
from tests.testbed.programs import built_program

FOLDER = ROOT / "build" / "sbom"

SECONDS = 300.0
"""Longest that one image may take to be read."""


def write_sbom(name: str, folder: Path) -> Path:
    """Write the bill of materials of one of our images; gives the file. Raises Unavailable where it cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / f"{name}.cdx.json"
    run_client(
        str(built_program("syft")), "scan", f"oci-archive:{our_image(name).archive}", "--quiet",
        f"--source-name={name}", "--output", f"cyclonedx-json={found}",
        seconds=SECONDS,
        env={"SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )  # fmt: skip
    return found


def main() -> int:
    """Write all of them, and say where they are."""
    try:
        for name in IMAGES:
            print(write_sbom(name, FOLDER).relative_to(ROOT))
    except Unavailable as reason:
        print(f"No image can be built here: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
