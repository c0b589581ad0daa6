from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.cli.test_serving import run
from tusfleet.cli.janitor import as_json, as_text
from tusfleet.janitor.report import Action, Outcome, Report
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.models import Upload


def upload(id: str, offset: int = 0) -> Upload:
    return Upload(id, "tus", datetime(2026, 1, 1, tzinfo=UTC), offset=offset)


@pytest.fixture(autouse=True)
def _log_of_the_tests() -> Iterator[None]:
    """A pass writes its log to what is standard error at that time: give the loggers back as they were."""
    loggers = [logging.getLogger(name) for name in ("tusfleet", "uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def box(tmp_path: Path) -> tuple[str, ...]:
    """Flags for a store on one box."""
    return ("--infostore", "sqlite", "--datastore", "filesystem", "--data-dir", str(tmp_path / "data"))


def test_one_pass_over_a_new_store_prints_a_table_of_nothing(
    box: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "janitor", "--once", *box)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["DONE", "LEFT", "FAILED", "BYTES"]
    assert [line.split()[0] for line in lines[1 : 1 + len(Action)]] == [action.done for action in Action]
    assert {tuple(line.split()[1:]) for line in lines[1 : 1 + len(Action)]} == {("0", "0", "0", "0", "B")}


def test_a_dry_run_makes_no_folder_and_changes_none(
    tmp_path: Path, box: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "janitor", "--dry-run", *box)
    assert (code, out) == (2, "")
    assert "is not the folder of a server" in err
    assert not (tmp_path / "data").exists()
    run(capsys, "janitor", "--once", *box)
    before = (tmp_path / "data" / "tusfleet.db").read_bytes()
    code, out, _ = run(capsys, "janitor", "--dry-run", "--report", "json", *box)
    assert code == 0
    assert json.loads(out)["dry_run"] is True
    assert (tmp_path / "data" / "tusfleet.db").read_bytes() == before


def test_a_report_goes_with_one_pass(box: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "janitor", "--report", "json", *box)
    assert (code, out) == (2, "")
    assert "--once or --dry-run" in err


def test_a_pass_that_meets_a_store_it_cannot_open_is_one_line(
    tmp_path: Path, box: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tusfleet.db").write_text("of another program")
    code, out, err = run(capsys, "janitor", "--once", *box)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "tusfleet.db" in err


def test_failures_and_the_reason_for_giving_up_are_told() -> None:
    report = Report(seconds=1.25)
    report.count(Action.EXPIRE, upload("a", 2048), Outcome.DONE)
    report.count(Action.EXPIRE, upload("b", 2048), Outcome.LEFT)
    for number in range(22):
        report.fail(Action.FINISH, upload(f"stuck-{number}"), StoreFull())
    report.fail(Action.LEFTOVER, None, Unavailable("not\x1b[2J allowed"))
    report.ended_early = Unavailable("The bucket cannot be reached")
    assert not report.well
    lines = as_text(report).splitlines()
    assert lines[4].split() == ["expired", "1", "1", "0", "2.0", "KiB"]
    assert "cannot be finished: stuck-0: There is no space for these bytes (store_full)" in lines
    assert lines[-3:] == ["3 more failed", "given up: The bucket cannot be reached", "Took 1.2 s"]
    plain = json.loads(as_json(report))
    assert plain["expired"] == {"done": 1, "left": 1, "failed": 0, "bytes": 2048}
    assert plain["failures"][0] == {
        "action": "finish", "upload": "stuck-0", "reason": "store_full", "detail": "There is no space for these bytes",
    }  # fmt: skip
    assert (len(plain["failures"]), plain["failures_not_listed"]) == (20, 3)
    assert plain["ended_early"] == "The bucket cannot be reached"
    assert report.line() == "1 expired (2048 bytes), 1 left for later, 23 failed"


def test_what_a_dry_run_would_do_is_named_up_to_a_bound() -> None:
    report = Report(dry_run=True)
    for number in range(103):
        report.count(Action.LEFTOVER, upload(f"stray-{number}", 1), Outcome.DONE)
    report.fail(Action.LEFTOVER, None, Unavailable("not\x1b[2J allowed"))
    lines = as_text(report).splitlines()
    assert "WOULD BE DONE" in lines[0]
    assert lines[1 + len(Action)] == "would be removed: stray-0 (1 B)"
    assert lines[101 + len(Action)] == "would be removed: 3 more"
    assert lines[102 + len(Action)].startswith("cannot be removed: all: not\N{REPLACEMENT CHARACTER}[2J allowed")
    assert len(json.loads(as_json(report))["uploads"]) == 100
