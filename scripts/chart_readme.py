"""The README of a chart, from its Chart.yaml, its introduction and the comments of its values.yaml.

A comment that begins with `# --` describes the value below it, which may be commented out: then it has no default, and
what stands there is an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

_VALUE = re.compile(r"^(?P<indent> *)(?P<off># ?)?(?P<key>[A-Za-z][A-Za-z0-9]*):(?: (?P<text>.*))?$")
_COMMENT = re.compile(r"^ *# ?(?P<mark>-- )?(?P<text>.*)$")

_TAIL = """
Written by `make fmt` from the comments of `values.yaml` and from `INTRODUCTION.md`; edit them there.
"""


@dataclass(frozen=True)
class Value:
    """One value that is described.

    Parameters:
        default: as YAML in one line; None without one.
    """

    path: str
    default: str | None
    described: str


def values(text: str) -> Iterator[Value]:
    """The values of a file that are described, in its order."""
    found = yaml.safe_load(text)
    folders: list[tuple[int, str]] = []
    comment: list[str] | None = None
    for line in text.splitlines():
        value = _VALUE.match(line)
        # A commented-out value stands directly below its description.
        if value is not None and (not value["off"] or comment):
            indent = len(value["indent"])
            folders = [one for one in folders if one[0] < indent]
            names = [*(name for _, name in folders), value["key"]]
            if not value["off"]:
                folders.append((indent, value["key"]))
            if comment:
                default = None if value["off"] else _one_line(_member(found, names))
                yield Value(".".join(names), default, " ".join(comment))
            comment = None
        elif (told := _COMMENT.match(line)) is None:
            comment = None
        elif told["mark"]:
            comment = [told["text"]]
        elif comment is not None:
            comment.append(told["text"])


def undescribed(text: str) -> list[str]:
    """Paths of values that nobody described."""
    described = {value.path for value in values(text)}

    def missing(found: object, path: tuple[str, ...]) -> Iterator[str]:
        # A value described as a whole may have members.
        if ".".join(path) in described:
            return
        if isinstance(found, dict) and found:
            for name, member in found.items():
                yield from missing(member, (*path, name))
        else:
            yield ".".join(path)

    return list(missing(yaml.safe_load(text), ()))


def page(chart: Path) -> str:
    """The README of a chart."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    if silent := undescribed(text):
        raise SystemExit(f"Values of {chart.name} without a comment `# -- ...`: {', '.join(silent)}")
    rows = [f"| `{one.path}` | {_cell(one.default)} | {one.described.replace('|', '&#124;')} |" for one in values(text)]
    introduction = (chart / "INTRODUCTION.md").read_text(encoding="utf-8")
    head = f"# {about['name']}\n\n{about['description']}\n\nKubernetes {about['kubeVersion'].removesuffix('-0')}.\n\n"
    table = "## Values\n\n| value | default | |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    return f"{head}{introduction.strip()}\n\n{table}{_TAIL}"


def _member(found: object, names: list[str]) -> object:
    for name in names:
        assert isinstance(found, dict)
        found = found[name]
    return found


def _one_line(value: object) -> str:
    if value in ("", None):
        return '""'
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).split("\n...")[0].strip()


def _cell(default: str | None) -> str:
    return "" if default is None else f"`{default}`"
