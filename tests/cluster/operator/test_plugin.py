"""`kubectl tus` against a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.sites import SECONDS, Site
from tests.servers import eventually
from tests.testbed.controlplane import ControlPlane
from tests.testbed.programs import built_program
from tusfleet_operator import names
from tusfleet_operator.cluster.kinds import SECRET
from tusfleet_operator.plugin.redaction import GONE

PLUGIN = Path(sys.executable).with_name("kubectl-tus")


def tus(plane: ControlPlane, site: Site, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as kubectl does: as a program on PATH, beside kubectl itself."""
    kubectl = Path(built_program("kubectl"))
    path = os.pathsep.join([str(kubectl.parent), str(PLUGIN.parent), os.environ["PATH"]])
    return subprocess.run(
        [kubectl, "tus", "--kubeconfig", str(plane.admin.kubeconfig), "--namespace", site.home, *arguments],
        env={**os.environ, "PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_status_tells_why_a_tusserver_is_not_ready(
    plane: ControlPlane, site: Site, operator: OperatorProcess, tmp_path: Path
) -> None:
    site.make(secrets=False)
    message = site.until("Ready", "SecretMissing")
    listed = tus(plane, site, tmp_path, "status")
    assert listed.returncode == 1, listed.stderr
    assert message in listed.stdout
    one = tus(plane, site, tmp_path, "status", "uploads")
    assert one.returncode == 1, one.stderr
    assert f"{site.home}/uploads" in one.stdout
    for condition in ("Ready", "Progressing", "Degraded", "StorageReachable", "RedisReachable"):
        assert condition in one.stdout


def test_pause_resume_and_restart(plane: ControlPlane, site: Site, operator: OperatorProcess, tmp_path: Path) -> None:
    site.make()
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    assert tus(plane, site, tmp_path, "pause", "uploads").returncode == 0
    eventually(lambda: site.condition("Paused")[0] == "True", SECONDS)
    assert "(paused)" in tus(plane, site, tmp_path, "status", "uploads").stdout
    site.change({"spec": {"replicas": 3}})
    operator.idle()
    assert site.deployment()["spec"]["replicas"] == 2
    assert tus(plane, site, tmp_path, "resume", "uploads").returncode == 0
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 3)
    before = site.deployment()["metadata"]["generation"]
    assert tus(plane, site, tmp_path, "restart", "uploads").returncode == 0
    site.eventually(lambda: site.deployment()["metadata"]["generation"] > before)
    assert names.RESTARTED_AT in site.deployment()["spec"]["template"]["metadata"]["annotations"]


def test_a_report_has_everything_but_secrets(
    plane: ControlPlane, site: Site, operator: OperatorProcess, tmp_path: Path
) -> None:
    site.make("smallest")
    site.change({"spec": {"template": {"env": [{"name": "PROXY_PASSWORD", "value": "hunter2"}]}}})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    done = tus(plane, site, tmp_path, "report", "uploads")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "uploads-report.zip") as file:
        told = {name: file.read(name).decode() for name in file.namelist()}
    assert {"tusserver.json", "children.json", "pods.json", "events.json", "versions.txt"} <= told.keys()
    assert GONE in told["tusserver.json"]
    assert '"kind": "Deployment"' in told["children.json"]
    everything = "".join(told.values())
    assert "hunter2" not in everything
    assert f'"kind": "{SECRET.kind}"' not in everything


def test_what_is_not_there_is_said_in_a_sentence(plane: ControlPlane, site: Site, tmp_path: Path) -> None:
    for command in ("status", "pause", "restart", "uploads", "report"):
        done = tus(plane, site, tmp_path, command, "nothing")
        assert done.returncode == 1
        assert 'tusservers.tusfleet.dev "nothing" not found' in done.stderr
        assert "Traceback" not in done.stderr
