"""The Makefile and its shell helpers, as somebody with another machine meets them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(*command: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ)
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_help_lists_every_target() -> None:
    listed = re.findall(r"^  make ([\w-]+)", run("make", "--no-print-directory", "help").stdout, re.MULTILINE)
    targets = [
        *("help", "run", "fleet", "cluster", "cluster-down", "test", "test-fleet", "test-cluster"),
        *("test-cluster-short", "sbom", "lint", "fmt", "lock", "bench", "testbed", "clean"),
    ]
    assert listed == targets


def test_uv_that_is_named_really_runs() -> None:
    path = run("scripts/uv.sh").stdout.strip()
    assert run(path, "--version").stdout.startswith("uv ")


def test_program_that_is_there_needs_nothing() -> None:
    done = run("scripts/debian_needs.sh", "sh:dash", "env:coreutils")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_person_who_is_not_root_gets_the_exact_command(tmp_path: Path) -> None:
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "apt-get", "exit 99")
    done = run("scripts/debian_needs.sh", "sh:dash", "no-such-program:one,two", path=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Please run:  sudo apt-get install -y one two\n"


def test_root_gets_packages_after_one_refresh_of_the_lists(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program(tmp_path, "id", "echo 0")
    # The first install fails, as it does before the lists were ever fetched.
    program(tmp_path, "apt-get", f'echo "$@" >> {log}; [ "$1" = update ] || grep -q update {log}')
    done = run("scripts/debian_needs.sh", "no-such-program:one", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["install", "update", "install"]


@pytest.mark.parametrize("name", ["base", "build", "dev", "fleet", "operator", "uv"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    requirements = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_lock_holds_what_runs_in_production() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        return set(re.findall(r"^[a-z0-9._-]+==[^\s;]+", text, re.MULTILINE))

    locks = [pins(f"{name}.txt") for name in ("base", "build", "fleet", "operator")]
    assert set.union(*locks) <= pins("dev.txt")
