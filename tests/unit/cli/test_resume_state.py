from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tusfleet.cli.failures import Failure
from tusfleet.cli.resume_state import KEEP_SECONDS, ResumeState, fingerprint, state_folder

FACTS = {"file": "/a", "size": 3, "mtime_ns": 5, "endpoint": "http://h/files/"}

HOLDER = """
import sys
from pathlib import Path
from tusfleet.cli.resume_state import ResumeState
with ResumeState(Path(sys.argv[1]), {"file": "a"}).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_is_saved_is_there_for_the_next_run(tmp_path: Path) -> None:
    state = ResumeState(tmp_path / "s", FACTS)
    with state.locked():
        assert state.load() is None
        state.save({"urls": ["u"]})
        state.save({"urls": ["u", "v"]})
    assert ResumeState(tmp_path / "s", FACTS).load() == {"urls": ["u", "v"]}
    assert [file.name for file in (tmp_path / "s").iterdir()] == [state.file.name]
    state.remove()
    state.remove()
    assert state.load() is None


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    state = ResumeState(tmp_path / "s", FACTS)
    with state.locked():
        state.save({})
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert state.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"saved": 3}', "\x00\xff", "{}"])
def test_a_file_that_cannot_be_read_is_as_good_as_none(content: str, tmp_path: Path) -> None:
    state = ResumeState(tmp_path, FACTS)
    state.file.write_text(content, encoding="latin-1")
    assert state.load() is None


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_makes_another_transfer(name: str) -> None:
    assert fingerprint({**FACTS, name: "other"}) != fingerprint(FACTS)
    assert fingerprint(dict(reversed(FACTS.items()))) == fingerprint(FACTS)


def test_two_runs_do_not_fight_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    state = ResumeState(tmp_path, {"file": "a"})
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Failure, match="Another run"), state.locked():
            pass
        with ResumeState(tmp_path, {"file": "b"}).locked():
            pass
    finally:
        holder.kill()
        holder.communicate(timeout=30)
    with state.locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="XDG_STATE_HOME"), ResumeState(tmp_path / "file" / "s", FACTS).locked():
        pass


def test_files_of_long_ago_are_cleared_away(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    for file in (old, new):
        file.write_text("{}")
    past = old.stat().st_mtime - KEEP_SECONDS - 10
    os.utime(old, (past, past))
    with ResumeState(tmp_path, FACTS).locked():
        pass
    assert not old.exists()
    assert new.exists()


def test_the_folder_follows_the_xdg_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder("uploads", {"XDG_STATE_HOME": "/x"}) == Path("/x/tusfleet/uploads")
    assert state_folder("uploads", {"XDG_STATE_HOME": "x"}) == tmp_path / ".local/state/tusfleet/uploads"
    assert state_folder("uploads", {}) == tmp_path / ".local/state/tusfleet/uploads"
