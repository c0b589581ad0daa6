from __future__ import annotations

import subprocess
import sys

import pytest

from tusfleet import __version__
from tusfleet.cli.main import COMMANDS, main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_the_program_starts_without_a_server_or_a_client() -> None:
    code = "import sys, tusfleet.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert not {"fastapi", "uvicorn", "pydantic", "httpx"} & set(loaded.stdout.split())


def test_an_upload_loads_no_server() -> None:
    code = "import sys, tusfleet.cli.uploading; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert not {"fastapi", "uvicorn", "pydantic"} & set(loaded.stdout.split())


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:")[2].strip().splitlines()]
    assert listed == list(COMMANDS)
    server, client = ["serve", "gateway", "janitor"], ["upload", "download", "info", "ls", "terminate"]
    assert listed == [*server, *client, "config", "version"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for spelling in ("--help", "-h"):
        code, out, _ = run(capsys, command, spelling)
        assert code == 0
        assert out.startswith(f"Usage: tusfleet {command}")


def test_versions(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "version")
    assert code == 0
    assert out.startswith(f"tusfleet {__version__}\n")
    assert "uvicorn 0." in out
    assert f" {sys.version.split()[0]} " in out
    assert run(capsys, "--version")[:2] == (0, f"tusfleet {__version__}\n")


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "uplaod")
    assert code == 2
    assert "No such command 'uplaod'" in err
