from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tusfleet.settings import Settings, SettingsError, load, without_password


def test_the_defaults_need_nothing() -> None:
    loaded = load(environment={})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tusfleet.toml"
    file.write_text('port = 1\nhost = "0.0.0.0"\nmax_size = "1GiB"\n')
    loaded = load({"port": 3, "host": None}, {"TUSFLEET_PORT": "2", "TUSFLEET_HOST": "::1"}, file)
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.max_size) == (3, "::1", 2**30)
    assert loaded.sources["port"] == "flag --port"
    assert loaded.sources["host"] == "environment TUSFLEET_HOST"
    assert loaded.sources["max_size"] == f"file {file}"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("port = 7\n")
    assert load(environment={"TUSFLEET_CONFIG": str(file)}).settings.port == 7


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1kB", 1000), ("1 KiB", 1024), ("1.5GiB", 1610612736), ("5TB", 5 * 10**12)],
)
def test_sizes(text: str, size: int) -> None:
    assert load({"max_size": text}, {}).settings.max_size == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("250ms", 0.25), ("90m", 5400), ("24h", 86400), ("1h30m", 5400), ("7d", 604800), ("3", 3)],
)
def test_durations(text: str, seconds: float) -> None:
    assert load({"expire_after": text}, {}).settings.expire_after == timedelta(seconds=seconds)


def test_none_and_lists_can_be_said_in_text() -> None:
    settings = load({"max_size": "none"}, {"TUSFLEET_CORS_ORIGINS": "https://a.example, https://*.b.example"}).settings
    assert settings.max_size is None
    assert settings.cors_origins == ("https://a.example", "https://*.b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", "70000"),
        ("max_size", "-1"),
        ("max_size", "1 parsec"),
        ("expire_after", "soon"),
        ("expire_after", "1h x"),
        ("base_path", "files"),
        ("base_path", "/"),
        ("base_path", "/a/../b"),
        ("downloads", "maybe"),
        ("trusted_proxies", "10.0.0.0/99"),
        ("cors_origins", "re:("),
        ("cors_origins", "app.example"),
        ("location", "ftp://x"),
        ("location", "https://key:secret@up.example"),
        ("durability", "eventual"),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_the_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: value}, {})
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert f"flag --{name.replace('_', '-')}" in message
    assert "\n" not in message


def test_credentials_need_named_origins() -> None:
    with pytest.raises(SettingsError, match="cors_credentials"):
        load({"cors_credentials": True}, {})
    assert load({"cors_credentials": True, "cors_origins": "https://a.example"}, {}).settings.cors_credentials


def test_unknown_keys_and_unreadable_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("prot = 7\n")
    with pytest.raises(SettingsError, match="prot: there is no such setting"):
        load(file=file, environment={})
    file.write_text("port = \n")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(file=file, environment={})
    with pytest.raises(SettingsError, match="cannot be read"):
        load(file=tmp_path / "absent.toml", environment={})


def test_addresses_of_the_collection_lose_their_last_slash() -> None:
    settings = load({"base_path": "/up/files/", "location": "https://up.example/files/"}, {}).settings
    assert (settings.base_path, settings.location) == ("/up/files", "https://up.example/files")


def test_a_password_is_not_shown() -> None:
    assert without_password("redis_sentinel_password", "very-secret") == "***"
    assert without_password("redis_sentinel_password", None) is None
    assert without_password("redis_url", "redis://user:very-secret@host/0") == "redis://user:***@host/0"
    assert without_password("redis_sentinel_username", "watcher") == "watcher"
