from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tusfleet.cli.contents import BLOCK, Changed, FilePart, LocalFile, Window, windows
from tusfleet.cli.failures import Failure
from tusfleet.cli.parallel import SMALLEST_PART, run_together, spans
from tusfleet.cli.sending import checksum_value


def test_parts_of_a_file_are_read_by_their_own_offsets(tmp_path: Path) -> None:
    content = os.urandom(BLOCK * 2 + 10)
    (tmp_path / "f").write_bytes(content)
    with LocalFile(tmp_path / "f") as file:
        part = FilePart(file, 5, BLOCK + 100)
        blocks = list(part.blocks(3, BLOCK + 100))
    assert b"".join(blocks) == content[8 : BLOCK + 105]
    assert max(map(len, blocks)) <= BLOCK


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("absent", "No such file"), (".", "is a folder"), ("pipe", "no regular file")):
        with pytest.raises(Failure, match=why):
            LocalFile(tmp_path / name)


def test_a_file_that_changes_gives_out_nothing_of_its_new_self(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (BLOCK * 2))
    with LocalFile(path) as file:
        blocks = file.read(0, file.size)
        assert next(blocks) == b"x" * BLOCK
        with path.open("r+b") as other:
            other.seek(BLOCK)
            other.write(b"y")
        os.utime(path, ns=(1, 1))
        with pytest.raises(Changed, match="changed while it was being sent"):
            next(blocks)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with LocalFile(path) as file:
        os.truncate(path, 10)
        with pytest.raises(Changed, match="shrank from 100 to 10 bytes"):
            list(file.read(0, 100))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, [(0, True)]),
        (3, [(3, True)]),
        (4, [(4, False), (0, True)]),
        (9, [(4, False), (4, False), (1, True)]),
    ],
)
def test_streams_come_in_windows(size: int, expected: list[tuple[int, bool]]) -> None:
    content = bytes(range(size))
    found = list(windows(io.BytesIO(content), 4))
    assert [(len(window.held), last) for window, last in found] == expected
    assert b"".join(window.held for window, _ in found) == content
    assert found[-1][0].stop == size


def test_a_window_gives_its_rest_and_nothing_before_it() -> None:
    window = Window(100, b"0123456789")
    assert b"".join(window.blocks(104, 108)) == b"4567"
    with pytest.raises(Failure, match="went back to 99"):
        list(window.blocks(99, 105))


def test_parts_cover_the_file_and_are_never_tiny() -> None:
    assert spans(0, 4) == [(0, 0)]
    assert spans(SMALLEST_PART * 2 - 1, 4) == [(0, SMALLEST_PART * 2 - 1)]
    found = spans(10 * SMALLEST_PART + 3, 4)
    assert len(found) == 4
    assert [first for first, _ in found] == [0, *(first + size for first, size in found)][:4]
    assert sum(size for _, size in found) == 10 * SMALLEST_PART + 3


def test_when_one_part_fails_the_others_stop() -> None:
    import threading

    stop, seen = threading.Event(), []

    def wait() -> None:
        seen.append(stop.wait(30))

    def fail() -> None:
        raise Failure("no")

    with pytest.raises(Failure, match="no"):
        run_together([wait, fail, wait], stop)
    assert seen == [True, True]
    run_together([lambda: seen.append(False)], stop)
    assert seen == [True, True, False]
    assert not stop.is_set()


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("sha1", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
        ("md5", "md5 XrY7u+Ae7tCTyyK7j1rNww=="),
        ("crc32", "crc32 DUoRhQ=="),
    ],
)
def test_digests_of_hello_world(algorithm: str, value: str) -> None:
    assert checksum_value(algorithm, [b"hello ", b"world"]) == value
