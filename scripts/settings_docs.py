"""Writes docs/settings.md from the settings module, so that the page cannot say anything else than the code.

`python -m scripts.settings_docs` writes it; with `--check` it fails when the page is not what it would write.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

HEAD = """\
# Settings

<!-- Written by `make fmt` from services/tusfleet/settings/; edit the descriptions there. -->

Every setting can be given as a flag of `tusfleet serve`, `gateway` or `janitor`, as an environment variable, or as a
key of a TOML file. A flag wins over the environment, the environment over the file, the file over the default.
`tusfleet config` prints the values in effect and where each of them comes from.
"""


def undescribed(settings: type[BaseModel]) -> list[str]:
    """The names of the fields that do not say what they mean."""
    return [name for name, field in settings.model_fields.items() if not (field.description or "").strip()]


def page(settings: type[BaseModel]) -> str:
    """The whole page for `settings`, one section for each field in the order of the class."""
    sections = (section(name, field) for name, field in settings.model_fields.items())
    return "\n".join([HEAD, *sections])


def section(name: str, field: FieldInfo) -> str:
    """The section of one setting: its three spellings, its default, its meaning."""
    flag = "--" + name.replace("_", "-")
    return (
        f"## `{name}`\n\n"
        f"`{flag}` | `TUSFLEET_{name.upper()}` | default: {default_text(field)}\n\n"
        f"{(field.description or '').strip()}\n"
    )


def default_text(field: FieldInfo) -> str:
    """The default as somebody would write it in the TOML file or on the command line."""
    if field.is_required():
        return "none, it must be given"
    return value_text(field.get_default(call_default_factory=True, validated_data={}))


def value_text(value: object) -> str:
    """One value in Markdown; nothing at all is said in words."""
    if value is None or value == "" or value == () or value == []:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return f"`{seconds_text(value.total_seconds())}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(value_text(item) for item in value)
    return f"`{value}`"


def seconds_text(seconds: float) -> str:
    """A duration in the largest unit that leaves no rest."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def main(arguments: list[str]) -> int:
    settings: type[BaseModel] = importlib.import_module("tusfleet.settings").Settings
    if names := undescribed(settings):
        print(f"Settings without a description: {', '.join(names)}", file=sys.stderr)
        return 1
    text = page(settings)
    if "--check" not in arguments:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.name} is not what the settings say; `make fmt` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
