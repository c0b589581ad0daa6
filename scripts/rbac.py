"""Writes operator/tusfleet_operator/rbac.yaml: the rules of the operator's roles, as the chart takes them.

`python -m scripts.rbac` writes it; with `--check` it fails when the file is not what it would write.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scripts.crd import dumped
from tusfleet_operator.cluster.rights import RIGHTS, Right

FILE = Path(__file__).resolve().parent.parent / "operator" / "tusfleet_operator" / "rbac.yaml"

HEAD = """\
# Written by `make fmt` from operator/tusfleet_operator/cluster/rights.py.
# `rules`: wherever there may be a TusServer, for a ClusterRole or a Role in each namespace that is watched.
# `ownNamespaceRules`: for a Role in the namespace of the operator.
"""


def text() -> str:
    """The file as it is to be; each rule with its reason."""
    parts = [HEAD]
    for name, own in (("rules", False), ("ownNamespaceRules", True)):
        parts.append(f"{name}:\n")
        parts += [_rule(right) for right in RIGHTS if right.own_namespace is own]
    return "".join(parts)


def rules(*, own_namespace: bool) -> list[dict[str, Any]]:
    """The rules themselves."""
    return [right.plain() for right in RIGHTS if right.own_namespace is own_namespace]


def _rule(right: Right) -> str:
    return f"# {right.why}\n{dumped([right.plain()])}"


def main(arguments: list[str]) -> int:
    wanted = text()
    if "--check" not in arguments:
        FILE.write_text(wanted, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != wanted:
        print(f"{FILE.name} is not what the list of rights says; `make fmt` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
