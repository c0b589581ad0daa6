"""A start loads only what the settings ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOADED = """
import asyncio, sys
from pathlib import Path
import tusfleet.gateway.server
from tusfleet.gateway.app import Service
from tusfleet.settings import Settings

async def start():
    service = Service(Settings(data_dir=Path(sys.argv[1])))
    await service.start()
    print(*{name.partition(".")[0] for name in sys.modules})
    await service.stop()

asyncio.run(start())
"""

ELSEWHERE = {"fastapi", "starlette", "redis", "aiobotocore", "botocore", "aiohttp", "awscrt", "httpx"}
"""What another store, the API or the client needs."""


def test_one_box_loads_no_framework_and_no_client_of_a_service(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "data")], check=True, capture_output=True, text=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert {"uvicorn", "httptools", "sqlite3"} <= loaded
    assert loaded & ELSEWHERE == set()
