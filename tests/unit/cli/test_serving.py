from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from tusfleet.cli.main import main
from tusfleet.cli.settings_flags import duration_text, value_text
from tusfleet.settings import Settings, load


@pytest.fixture(autouse=True)
def _no_settings_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TUSFLEET_{name.upper()}", raising=False)
    monkeypatch.delenv("TUSFLEET_CONFIG", raising=False)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize("command", ["serve", "config"])
def test_every_setting_is_a_flag_with_its_meaning_and_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, command, "--help")
    text = " ".join(out.split())
    for name, field in Settings.model_fields.items():
        spelling = "--" + name.replace("_", "-")
        assert f" {spelling} " in text
        # Help is wrapped at hyphens too, so only the words before the first one are looked for.
        assert " ".join((field.description or "").split("-")[0].split()[:4]) in text
        assert f"[env: TUSFLEET_{name.upper()}; default:" in text
    assert "--sidecar / --no-sidecar" in text
    assert "--log-format [pretty|json]" in text
    assert "--max-size SIZE" in text
    assert "default: /files" in text


def test_values_come_from_flags_environment_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tusfleet.toml"
    file.write_text('port = 1\nhost = "::1"\nexpire_after = "90m"\n')
    monkeypatch.setenv("TUSFLEET_HOST", "::")
    flags = ("--port", "3", "--no-terminate-finished", "--max-size", "1.5GiB")
    code, out, err = run(capsys, "config", "--config", str(file), "--format", "json", *flags)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert list(found) == list(Settings.model_fields)
    assert found["port"] == {"value": 3, "source": "flag --port"}
    assert found["host"] == {"value": "::", "source": "environment TUSFLEET_HOST"}
    assert found["expire_after"] == {"value": "90m", "source": f"file {file}"}
    assert found["terminate_finished"]["value"] is False
    assert found["max_size"]["value"] == 1610612736
    assert found["sidecar"] == {"value": False, "source": "default"}


def test_the_table_has_a_line_for_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "config", "--max-size", "3GiB")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["SETTING", "VALUE", "FROM"]
    assert [line[0] for line in lines[1:]] == list(Settings.model_fields)
    assert ["max_size", "3GiB", "flag", "--max-size"] in lines


def test_the_toml_output_is_a_file_with_the_same_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (
        *("--max-size", "10MB", "--expire-after", "1h30m", "--lock-timeout", "250ms", "--sidecar"),
        *("--key-template", 'ä "quoted" \\ {id}', "--trusted-proxies", "10.0.0.0/8,::1", "--max-connections", "12"),
    )
    _, out, _ = run(capsys, "config", "--format", "toml", *flags)
    file = tmp_path / "again.toml"
    file.write_text(out)
    assert tomllib.loads(out)["lock_timeout"] == "0.25s"
    _, as_json, _ = run(capsys, "config", "--format", "json", *flags)
    values = {name: entry["value"] for name, entry in json.loads(as_json).items()}
    assert load(environment={}, file=file).settings == load(values, {}).settings
    assert load(environment={}, file=file).settings.max_size == 10**7


@pytest.mark.parametrize("command", ["serve", "config"])
@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--port", "eighty"), ("port", "flag --port", "'eighty'")),
        (("--max-size", "1 parsec"), ("max_size", "flag --max-size", "512MiB")),
        (("--log-format", "xml"), ("log_format", "flag --log-format")),
        (("--cors-credentials",), ("cors_credentials",)),
        (("--config", "absent.toml"), ("config", "absent.toml")),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(
    command: str, flags: tuple[str, ...], names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, command, *flags)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith(f"Error: {names[0]}")
    for name in names:
        assert name in err


def test_files_that_settings_name_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("very-secret admin\n")
    for output in ("table", "toml", "json"):
        _, out, _ = run(capsys, "config", "--auth-tokens-file", str(tokens), "--format", output)
        assert str(tokens) in out
        assert "very-secret" not in out


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(days=2), "2d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=1234567), "1234567s"),
        (timedelta(microseconds=250_001), "0.250001s"),
    ],
)
def test_durations_are_written_so_that_they_read_the_same(span: timedelta, text: str) -> None:
    assert duration_text(span) == text
    assert load({"expire_after": text}, {}).settings.expire_after == span


def test_sizes_are_written_in_the_unit_that_leaves_no_rest() -> None:
    assert [value_text("max_size", size) for size in (0, 1023, 2048, 10**6, 3 * 2**40)] == [
        "0", "1023", "2KiB", "1000000", "3TiB",
    ]  # fmt: skip
    assert value_text("port", 2048) == "2048"
