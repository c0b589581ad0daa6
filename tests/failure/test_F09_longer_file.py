"""F9: after `kill -9` and a resume the file is longer than the upload, with bytes twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest

from tests.failure.aftermath import record
from tests.failure.client import KIB, MIB, Wire, create, get, held, id_of, offset, patch
from tests.failure.forked import serving
from tests.servers import eventually

NEVER = ("--checkpoint-interval", "1h")
"""Bytes reach the file, and the record learns of none of them."""


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
def test_F9_a_file_that_ran_ahead_of_its_record_is_cut(tmp_path: Path, durability: str) -> None:
    data = Random(9).randbytes(32 * MIB)
    with serving(tmp_path, *NEVER, "--durability", durability) as server:
        path = create(server, len(data))
        assert patch(server, path, 0, data[:MIB]).status == 204
        with Wire(server) as cut:
            cut.patch(path, MIB, len(data) - MIB)
            # Other bytes than those that come later: whatever is left of them is seen.
            cut.send(bytes(8 * MIB))
            eventually(lambda: held(server, path) >= 9 * MIB)
            server.restart()
        assert record(server.data, id_of(path))["offset"] == MIB
        assert held(server, path) >= 9 * MIB, "the file was to be longer than the record says"
        assert offset(server, path) == MIB
        assert patch(server, path, MIB, data[MIB : MIB + 64 * KIB]).status == 204
        assert held(server, path) == MIB + 64 * KIB, "what the record does not know was not cut"
        assert patch(server, path, MIB + 64 * KIB, data[MIB + 64 * KIB :]).status == 204
        content = get(server, path)
        assert len(content) == len(data)
        assert hashlib.sha256(content).digest() == hashlib.sha256(data).digest()
        assert (server.data / "files" / id_of(path)).stat().st_size == len(data)


def test_F9_an_upload_that_ends_where_its_record_stands_is_not_finished_with_more(tmp_path: Path) -> None:
    """The length comes last, and is shorter than what the file has."""
    with serving(tmp_path, *NEVER) as server:
        path = create(server, None)
        assert patch(server, path, 0, b"a" * MIB).status == 204
        with Wire(server) as cut:
            cut.patch(path, MIB, None)
            cut.send_chunk(b"b" * MIB)
            eventually(lambda: held(server, path) == 2 * MIB)
            server.restart()
        assert patch(server, path, MIB, b"", {"Upload-Length": str(MIB)}).status == 204
        assert get(server, path) == b"a" * MIB
        assert (server.data / "files" / id_of(path)).stat().st_size == MIB
