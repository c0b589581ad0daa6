"""Writes operator/tusfleet_operator/settings.json: the settings that a TusServer has, from those of the command line.

The operator and the services never import each other; this file is what they share. A setting is either in it, in one
of three sections (`spec.gateway`, `spec.storage.s3`, `spec.redis`), or in `OPERATOR` with the reason why it is not.

`python -m scripts.settings_schema` writes it; with `--check` it fails when the file is not what it would write.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from scripts.settings_docs import value_text

FILE = Path(__file__).resolve().parent.parent / "operator" / "tusfleet_operator" / "settings.json"

OPERATOR = {
    "host": "pods listen on all of their addresses",
    "port": "8080, where the Service finds it; spec.service.port is what clients see",
    "metrics_port": "9090, where probes and Prometheus find it",
    "workers": "one process a pod: more gateways are more replicas",
    "lane_min_size": "only bytes for a file take the lane",
    "infostore": "redis: the store that any number of gateways shares",
    "datastore": "s3: spec.storage names the bucket",
    "data_dir": "pods keep nothing on a disk",
    "durability": "is about files on a disk",
    "sidecar": "is about files on a disk",
    "drain_delay": "follows from spec.drainTimeout",
    "drain_grace": "follows from spec.drainTimeout",
    "auth_tokens_file": "spec.authTokensSecretRef names the Secret",
    "redis_url": "spec.redis.url, urlSecretRef, sentinel, cluster or dev",
    "redis_password_file": "spec.redis.passwordSecretRef names the Secret",
    "redis_sentinel_username": "spec.redis.sentinel.username",
    "redis_sentinel_password": "secrets are only referenced: spec.redis.sentinel.passwordSecretRef",
    "redis_sentinel_password_file": "spec.redis.sentinel.passwordSecretRef names the Secret",
    "redis_ca_file": "spec.redis.tls.certificateAuthority names the Secret or ConfigMap",
    "redis_certificate_file": "spec.redis.tls.clientCertificateSecretRef names the Secret",
    "redis_key_file": "spec.redis.tls.clientCertificateSecretRef names the Secret",
    "s3_bucket": "spec.storage.s3.bucket, which is required and never changes",
}
"""Settings that a TusServer does not have under their own names, and where their values come from."""

ELSEWHERE = {"key_template": "s3", "buffer_memory": "gateway", "tail_cache": "gateway", "lease_ttl": "redis"}
"""Settings whose section does not follow from the beginning of their names."""

FLEET_DEFAULTS: dict[str, object] = {"log_format": "json"}
"""Defaults of `tusfleet gateway`, where they are others than those of the settings."""

ENDPOINT = (r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", "is a URL without credentials, such as https://s3.example.org")
PATTERNS = {
    "base_path": (r"^(/[A-Za-z0-9._~-]+)+$", "begins with / and has segments of A-Z a-z 0-9 . _ ~ -, such as /files"),
    "location": (
        r"^(auto|absolute|relative|https?://[^\s/?#@]+(/[^\s?#]*)?)$",
        "is auto, absolute, relative or a base URL such as https://up.example/files",
    ),
    "s3_endpoint": ENDPOINT,
    "s3_public_endpoint": ENDPOINT,
    "s3_key_prefix": (r"^([^/].*)?$", "begins with no /, such as uploads/"),
    "redis_prefix": (r"^[A-Za-z0-9._:-]+$", "has A-Z a-z 0-9 . _ : -, such as tf"),
    "trusted_proxies": (r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", "are addresses or networks, such as 10.0.0.0/8"),
    "cors_origins": (
        r"^(\*|null|re:[^,]+|[a-z][a-z0-9+.-]*://[^/\s,]+)$",
        "are origins such as https://app.example or https://*.example, re: and an expression without a comma, or *",
    ),
    "s3_tags": (r"^[^=,]+=[^,]*$", "are written name=value, without commas"),
}
"""What validators of the settings ask for, as far as an expression tells it: of lists it is about each item."""

WORDS = {
    "key_template": "Name of a finished object below `keyPrefix`: text with `{id}`, `{filename}`, `{yyyy}`, `{mm}`, "
    "`{dd}`, `{tenant}` and `{metadata.KEY}`; values are made safe, and a taken name gets a number.",
    "redis_prefix": "In front of every key in Redis: TusServers have the same only when they are to know the same "
    "uploads, and then in the same place of the same bucket.",
}
"""Descriptions, where those of the settings are about one box or one fleet."""

DEFAULT_TEXTS = {"redis_prefix": "`tf:NAMESPACE.NAME`"}
"""Defaults that follow from which TusServer it is."""

SIZES = {
    "s3_part_size": ("5Mi", "5Gi"),
    "s3_tail_inline_max": (None, "5242879"),
    "buffer_memory": ("16Mi", None),
    "max_header_size": ("1Ki", "16Mi"),
}
"""Least and most, where the field itself does not say so."""

QUANTITY = (r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$", "is a quantity of bytes such as 512Mi or 20Gi")
DURATION = (r"^([0-9]{1,6}(ms|s|m|h)){1,4}$", "is a duration such as 30s, 90m or 24h")
LIST_ITEM = (r"^[^,]+$", "have no commas in them")
TEXT_LENGTH = 1024
LIST_LENGTH = 64
LARGEST_NUMBER = 2**31 - 1

_QUANTITY_RULE = "quantity(string(self)).compareTo(quantity('BOUND')) SIGN 0"
_DURATION_RULE = "duration(self) SIGN duration('BOUND')"
_QUANTITY_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def schema(settings: type[BaseModel]) -> dict[str, Any]:
    """The whole file: a JSON schema of each section, and the reasons of what is in none."""
    names = [name for name in settings.model_fields if name not in OPERATOR]
    sections: dict[str, dict[str, Any]] = {"gateway": {}, "s3": {}, "redis": {}}
    fields = {name: place(name) for name in names}
    for name in names:
        section, field = fields[name]
        sections[section][field] = {"x-setting": name, **_described(name, settings, fields)}
    return {
        "title": "Settings of the gateways and janitors of a TusServer",
        "$comment": "Written by `make fmt` from services/tusfleet/settings/; edit the descriptions there.",
        "sections": {name: {"type": "object", "properties": properties} for name, properties in sections.items()},
        "operator": dict(sorted(OPERATOR.items())),
    }


def place(name: str) -> tuple[str, str]:
    """The section of a setting, and its name there."""
    prefix = next((prefix for prefix in ("s3", "redis") if name.startswith(prefix + "_")), "gateway")
    section = ELSEWHERE.get(name, prefix)
    bare = name.removeprefix(section + "_")
    camel: str = to_camel(bare)
    return section, camel


def _described(name: str, settings: type[BaseModel], fields: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    field = settings.model_fields[name]
    hint = get_type_hints(settings, include_extras=True)[name]
    found = _typed(name, _without_none(hint), field)
    default = FLEET_DEFAULTS.get(name, field.get_default(call_default_factory=True, validated_data={}))
    words = _in_their_words(WORDS.get(name, field.description or ""), fields)
    if "off" in found.get("enum", ()):
        words += ' Write `"off"` in quotes: without them YAML takes it for false.'
    told = DEFAULT_TEXTS.get(name) or _default_text(found["x-kind"], default)
    return {"description": f"{words} Default: {told}.", **found}


def _typed(name: str, hint: Any, field: FieldInfo) -> dict[str, Any]:
    kind, called = _kind(hint), place(name)[1]
    bounds = {key: value for item in field.metadata for key in ("ge", "le") if (value := getattr(item, key, None))}
    if kind == "boolean":
        return {"x-kind": kind, "type": "boolean"}
    if kind == "integer":
        least, most = bounds.get("ge", 0), bounds.get("le", LARGEST_NUMBER)
        return {"x-kind": kind, "type": "integer", "minimum": least, "maximum": most}
    if kind == "enum":
        return {"x-kind": kind, "type": "string", "enum": _choices(hint)}
    if kind == "size":
        limits = _bounds(called, "isQuantity(string(self))", _QUANTITY_RULE, *SIZES.get(name, (None, None)))
        return {"x-kind": kind, "x-kubernetes-int-or-string": True, "maxLength": 20, **_told(QUANTITY), **limits}
    if kind == "duration":
        least = _go_duration(bounds["ge"]) if bounds.get("ge") else None
        limits = _bounds(called, f"self.matches(r'{DURATION[0]}')", _DURATION_RULE, least, None)
        return {"x-kind": kind, "type": "string", "maxLength": 32, **_told(DURATION), **limits}
    if kind == "list":
        items = {"type": "string", "minLength": 1, "maxLength": 256, **_told(PATTERNS.get(name, LIST_ITEM))}
        atomic = {"maxItems": LIST_LENGTH, "x-kubernetes-list-type": "atomic"}
        return {"x-kind": kind, "type": "array", **atomic, "items": items}
    pattern = _told(PATTERNS[name]) if name in PATTERNS else {}
    return {"x-kind": kind, "type": "string", "maxLength": TEXT_LENGTH, **pattern}


def _told(expected: tuple[str, str]) -> dict[str, str]:
    """An expression that a value has to match, and what somebody is told when it does not, after the field's name."""
    pattern, words = expected
    return {"pattern": pattern, "x-message": words}


def _bounds(called: str, guard: str, rule: str, least: str | None, most: str | None) -> dict[str, list[dict[str, str]]]:
    """Rules (CEL) for bounds that an expression on text cannot tell; what is no value at all is told elsewhere."""
    rules = [
        {
            "rule": f"!{guard} || " + rule.replace("SIGN", sign).replace("BOUND", bound),
            "message": f"{called} is {words} {bound}",
        }
        for bound, sign, words in ((least, ">=", "at least"), (most, "<=", "at most"))
        if bound is not None
    ]
    return {"x-kubernetes-validations": rules} if rules else {}


def _kind(hint: Any) -> str:
    # The aliases with units are recognised by identity, as the command line does.
    values = importlib.import_module("tusfleet.settings.values")
    if hint in (values.Size, values.Duration, values.Listed):
        return {values.Size: "size", values.Duration: "duration", values.Listed: "list"}[hint]
    if _choices(hint):
        return "enum"
    return {bool: "boolean", int: "integer", str: "text"}[hint]


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [member.value for member in hint] if isinstance(hint, type) and issubclass(hint, Enum) else []


def _without_none(hint: Any) -> Any:
    return next((part for part in get_args(hint) if type(None) in get_args(hint) and part is not type(None)), hint)


def _in_their_words(text: str, fields: Mapping[str, tuple[str, str]]) -> str:
    """The description, with the names that settings have in a TusServer."""
    return re.sub(r"\b[a-z0-9]+(_[a-z0-9]+)+\b", lambda match: fields.get(match[0], ("", match[0]))[1], text)


def _default_text(kind: str, value: object) -> str:
    if kind == "size" and isinstance(value, int):
        return f"`{_quantity(value)}`"
    if isinstance(value, timedelta):
        return f"`{_go_duration(value)}`"
    return value_text(value)


def _quantity(size: int) -> str:
    return next((f"{size // unit}{name}" for name, unit in _QUANTITY_UNITS if size and size % unit == 0), str(size))


def _go_duration(value: timedelta) -> str:
    """A duration as Kubernetes writes it, which has no days."""
    milliseconds = round(value.total_seconds() * 1000)
    for name, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % length == 0:
            return f"{milliseconds // length}{name}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def text() -> str:
    """The file as it is to be."""
    settings: type[BaseModel] = importlib.import_module("tusfleet.settings").Settings
    return json.dumps(schema(settings), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    wanted = text()
    if "--check" not in arguments:
        FILE.write_text(wanted, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != wanted:
        print(f"{FILE.name} is not what the settings say; `make fmt` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
