from __future__ import annotations

import io

import pytest

from tusfleet.cli.progress import Progress


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(stream: io.StringIO, total: int | None, *, quiet: bool = False) -> tuple[Progress, Clock]:
    clock = Clock()
    return Progress("a.bin", total, stream=stream, quiet=quiet, clock=clock), clock


def test_the_bar_shows_share_bytes_rate_and_time_left() -> None:
    stream = Terminal()
    shown, clock = progress(stream, 100 * 2**20)
    shown.moved(0, 0)
    clock.now += 2.0
    shown.moved(0, 25 * 2**20)
    line = stream.getvalue().rpartition("\r\x1b[K")[2]
    assert line == "a.bin:  25% [#####...............] 25.0 MiB / 100.0 MiB  12.5 MiB/s  0:06 left"
    shown.finish()
    assert stream.getvalue().endswith("\r\x1b[Ka.bin: 100% 100.0 MiB in 0:02, 50.0 MiB/s\n")


def test_the_bar_is_drawn_ten_times_a_second_at_most() -> None:
    stream = Terminal()
    shown, clock = progress(stream, 1000)
    for position in range(1000):
        clock.now += 0.001
        shown.moved(0, position)
    assert 5 <= stream.getvalue().count("\r") <= 10


def test_a_log_file_gets_a_plain_line_now_and_then() -> None:
    stream = io.StringIO()
    shown, clock = progress(stream, 1000)
    for position in range(100):
        clock.now += 0.1
        shown.moved(0, position)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a.bin:   5% 50 B / 1000 B  10 B/s  1:35 left"
    assert len(lines) == 1
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_parts_are_added_up_and_what_was_there_before_is_not_our_speed() -> None:
    stream = Terminal()
    shown, clock = progress(stream, 4000)
    shown.stands(0, 1000)
    shown.stands(1, 900)
    shown.moved(0, 1000)
    clock.now += 1.0
    shown.moved(1, 1000)
    assert "50%" in stream.getvalue()
    assert "100 B/s" in stream.getvalue()


def test_without_a_length_there_is_no_share() -> None:
    stream = Terminal()
    shown, clock = progress(stream, None)
    shown.moved(0, 0)
    clock.now += 1.0
    shown.moved(0, 2048)
    assert stream.getvalue().endswith("a.bin: 2.0 KiB  2.0 KiB/s")
    shown.expect(4096)
    clock.now += 1.0
    shown.moved(0, 4096)
    assert "100%" in stream.getvalue()


def test_notes_stand_on_lines_of_their_own() -> None:
    stream = Terminal()
    shown, _ = progress(stream, 10)
    shown.note("the connection was lost\x1b[2J")
    assert stream.getvalue() == "\r\x1b[Ka.bin: the connection was lost\N{REPLACEMENT CHARACTER}[2J\n"
    shown.clear()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_narrow_terminal_goes_without_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    shown, clock = progress(stream, 1000)
    clock.now += 1.0
    shown.moved(0, 500)
    assert stream.getvalue() == "\r\x1b[Ka.bin:  50% 500 B / 1000 B"


def test_quiet_is_quiet() -> None:
    stream = Terminal()
    shown, clock = progress(stream, 10, quiet=True)
    clock.now += 60.0
    shown.moved(0, 5)
    shown.note("text")
    shown.clear()
    shown.finish()
    assert stream.getvalue() == ""
