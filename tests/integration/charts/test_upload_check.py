"""The program that `helm test` runs, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.charts import PLAIN
from tests.servers import serving

PROGRAM = PLAIN / "files" / "check_upload.py"

TOKEN = "a-token-that-is-long-enough"


def check(home: Path, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as the pod does, with the `tusfleet` of this environment."""
    home.mkdir()
    tusfleet = Path(sys.executable).with_name("tusfleet")
    given = {"HOME": str(home), "TUSFLEET_URL": url, "TUSFLEET_PROGRAM": str(tusfleet), **environment}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.read_text(encoding="utf-8")],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("downloads", ["finished", "off"])
def test_what_is_uploaded_comes_back(tmp_path: Path, downloads: str) -> None:
    with serving(tmp_path / "server", "--downloads", downloads) as server:
        done = check(tmp_path / "home", server.url, DOWNLOADS=downloads)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("They came back as they were" in done.stdout) == (downloads == "finished")
        assert ("Downloads are off" in done.stdout) == (downloads == "off")
        # It leaves nothing behind.
        assert [file for file in (server.data / "files").iterdir() if file.is_file()] == []


def test_a_token_is_sent(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} name=helm\n", encoding="utf-8")
    tokens.chmod(0o600)
    with serving(tmp_path / "server", "--auth-tokens-file", str(tokens)) as server:
        url = server.url
        assert check(tmp_path / "with", url, TUSFLEET_TOKEN=TOKEN).returncode == 0
        refused = check(tmp_path / "without", url)
        assert refused.returncode != 0
        assert "asks for credentials" in refused.stderr
        assert "`tusfleet upload` failed" in refused.stderr
