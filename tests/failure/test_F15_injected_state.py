"""F15: storage state leaks into `Upload-Metadata`, so that clients can inject it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.failure.aftermath import files, record
from tests.failure.client import KIB, ask, create, get, head, id_of, offset, patch
from tests.failure.forked import serving
from tests.servers import Server

STATE = {
    "placement": json.dumps({"key": "../../victim", "ino": 1}),
    "key": "../../victim",
    "path": "/etc/passwd",
    "info_path": "/etc/passwd",
    "storage": json.dumps({"type": "filestore", "path": "/etc/passwd"}),
    "parts": json.dumps([[1, 5, "etag"]]),
    "multipart_upload_id": "stolen",
    "id": "victim",
    "offset": "1024",
    "length": "0",
    "size": "0",
    "state": "finished",
    "fence": "999999999",
    "reserved": "0",
    "tenant": "another",
    "expires_at": "0",
    "concat": "final;/files/victim",
    "final": "1",
    "is_final": "true",
}
"""Names under which this server and others keep what they know of an upload, and values that would do harm."""

NAMES = (
    "../../escaped",
    "/tmp/escaped",
    "..\\..\\escaped",
    "a/../../../escaped",
    "nul\0escaped",
    "new\nline",
    "..",
    ".",
    "",
    "tusfleet.db",
    "x" * 5000,
    "\u202efdp.exe",
    "con",
)


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """The header of these metadata."""
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def test_F15_metadata_are_no_state(server: Server) -> None:
    fields = encoded(STATE)
    path = create(server, 2 * KIB, fields)
    stored = record(server.data, id_of(path))
    assert (stored["offset"], stored["length"], stored["state"], stored["placement"]) == (0, 2 * KIB, "open", "{}")
    assert (stored["tenant"], stored["expires_at"], stored["concat"], stored["final"]) == (None, None, None, 0)
    assert offset(server, path) == 0
    assert patch(server, path, 0, b"a" * KIB).status == 204
    server.restart()
    assert offset(server, path) == KIB
    assert patch(server, path, KIB, b"b" * KIB).status == 204
    answer = head(server, path)
    assert answer["upload-metadata"] == fields["Upload-Metadata"], "it was not given back as it came"
    assert "upload-concat" not in answer
    assert get(server, path) == b"a" * KIB + b"b" * KIB
    assert json.loads(record(server.data, id_of(path))["placement"]) == {"key": id_of(path)}
    assert ask(server, "DELETE", path).status == 204
    assert files(server.data) == set()


def test_F15_metadata_do_not_reach_other_uploads(server: Server) -> None:
    victim = create(server, KIB, body=b"v" * KIB)
    for key in ("id", "key", "path", "placement", "storage"):
        aimed = create(server, KIB, encoded({key: id_of(victim)}), b"x" * KIB)
        assert id_of(aimed) != id_of(victim)
        assert ask(server, "DELETE", aimed).status == 204
    assert get(server, victim) == b"v" * KIB


@pytest.mark.parametrize("template", ["{filename}", "in/{metadata.folder}/{filename}"])
def test_F15_names_from_metadata_stay_in_their_folder(tmp_path: Path, template: str) -> None:
    with serving(tmp_path / "server", "--key-template", template) as server:
        outside = tree(tmp_path) - tree(server.data)
        for number, name in enumerate(NAMES):
            content = f"{number}".encode()
            metadata = encoded({"filename": name, "folder": name})
            assert get(server, create(server, len(content), metadata, content)) == content
        placed = files(server.data)
        assert len(placed) == len(NAMES), "two uploads took the same name"
        assert tree(tmp_path) - tree(server.data) == outside, "something was written elsewhere"
        assert {path.name for path in server.data.iterdir()} <= {
            "files", "partial", "lock", "tusfleet.db", "tusfleet.db-wal", "tusfleet.db-shm",
        }  # fmt: skip
        assert all(not part.startswith(".") for name in placed for part in Path(name).parts), "hidden names"


def tree(folder: Path) -> set[Path]:
    """Everything below a folder."""
    return set(folder.rglob("*"))
