from __future__ import annotations

import click
import pytest

from tusfleet.cli.text import clock_text, percent, printable, size_text, table
from tusfleet.cli.units import ADDRESS, DURATION, RATE, SIZE


def test_sizes_and_times_for_people() -> None:
    assert [size_text(size) for size in (0, 1023, 1024, 1536 * 2**20, 2**63)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 GiB", "8.0 EiB",
    ]  # fmt: skip
    assert [clock_text(seconds) for seconds in (0, 7.4, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]


def test_a_percentage_says_100_only_for_all() -> None:
    assert [percent(*pair) for pair in ((0, 10), (999, 1000), (10, 10), (0, 0), (5, None))] == [
        "0%", "99%", "100%", "100%", "?",
    ]  # fmt: skip


def test_foreign_text_cannot_steer_the_terminal() -> None:
    assert (
        printable("a\x1b[2Jb\r\n\u202ec é 文")
        == "a\N{REPLACEMENT CHARACTER}[2Jb" + "\N{REPLACEMENT CHARACTER}" * 3 + "c é 文"
    )


def test_tables_are_as_wide_as_they_have_to_be() -> None:
    assert table(("A", "LONG"), [("xyz", "1"), ("", "2")]) == "A    LONG\nxyz  1\n     2"
    assert table(("A", "B"), []) == "A  B"


def test_values_with_units() -> None:
    assert SIZE.convert("16MiB", None, None) == 2**24
    assert RATE.convert("1kB/s", None, None) == 1000
    assert DURATION.convert("1m30s", None, None) == 90.0
    assert DURATION.convert(60.0, None, None) == 60.0
    assert ADDRESS.convert(" https://h.example:444/f/ ", None, None) == "https://h.example:444/f/"


@pytest.mark.parametrize("text", ["", "0", "-1", "much", "1 parsec"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SIZE.convert(text, None, None)


def test_durations_that_are_none() -> None:
    with pytest.raises(click.BadParameter, match="soon"):
        DURATION.convert("soon", None, None)


@pytest.mark.parametrize(
    "text",
    ["", "files", "/files", "ftp://h/", "http://", "http:///files", "http://h:x/", "http://h/a b", "http://[::1/"],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not an address"):
        ADDRESS.convert(text, None, None)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(click.BadParameter) as refused:
        ADDRESS.convert("http://me:hunter2@h.example/", None, None)
    assert "hunter2" not in str(refused.value)
