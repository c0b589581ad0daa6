"""The program `kubectl-tus`, which kubectl runs as `kubectl tus`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from tusfleet_operator import names
from tusfleet_operator.plugin import report as reports
from tusfleet_operator.plugin import status as statuses
from tusfleet_operator.plugin.kubectl import Kubectl

KIND = "tusservers.tusfleet.dev"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", help="Context of the kubeconfig to use.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="File with clusters and users.")
@click.option("-n", "--namespace", help="Namespace; that of the context when it is not given.")
@click.pass_context
def main(ctx: click.Context, context: str | None, kubeconfig: str | None, namespace: str | None) -> None:
    """Look after TusServers."""
    given = {"--context": context, "--kubeconfig": kubeconfig, "--namespace": namespace}
    ctx.obj = Kubectl([part for flag, value in given.items() if value is not None for part in (flag, value)])


@main.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Those of all namespaces.")
@click.pass_obj
def status(kubectl: Kubectl, name: str | None, *, everywhere: bool) -> None:
    """Show TusServers, or one of them in full. Ends with 1 when one is not ready."""
    if name is None:
        found = kubectl.json("get", KIND, *(["--all-namespaces"] if everywhere else []))["items"]
        click.echo(statuses.overview(found, namespaced=everywhere), nl=False)
    elif everywhere:
        raise click.UsageError("Give a name, or --all-namespaces")
    else:
        body = kubectl.json("get", KIND, name)
        pods = kubectl.json("get", "pods", "--selector", names.pods_of(name))["items"]
        about = f"involvedObject.kind=TusServer,involvedObject.name={name}"
        events = kubectl.json("get", "events", "--field-selector", about)["items"]
        click.echo(statuses.details(body, pods, events), nl=False)
        found = [body]
    sys.exit(0 if all(map(_ready, found)) else 1)


@main.command()
@click.argument("name")
@click.pass_obj
def pause(kubectl: Kubectl, name: str) -> None:
    """Have the operator change nothing of a TusServer until it is resumed. Uploads go on."""
    _annotate(kubectl, name, f"{names.PAUSED}=true")
    click.echo(f"{name} is paused: the operator changes nothing. `kubectl tus resume {name}` ends that.")


@main.command()
@click.argument("name")
@click.pass_obj
def resume(kubectl: Kubectl, name: str) -> None:
    """Have the operator look after a TusServer again."""
    _annotate(kubectl, name, f"{names.PAUSED}-")
    click.echo(f"{name} is looked after again.")


@main.command()
@click.argument("name")
@click.pass_obj
def restart(kubectl: Kubectl, name: str) -> None:
    """Replace all pods of a TusServer, one after the other. Uploads under way go on at other gateways."""
    _annotate(kubectl, name, f"{names.RESTARTED_AT}={datetime.now(UTC).isoformat(timespec='seconds')}")
    click.echo(f"{name} gets new pods; watch them with `kubectl tus status {name}`.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def uploads(kubectl: Kubectl, name: str, arguments: Sequence[str]) -> None:
    """List the uploads of a TusServer: `tusfleet ls` in one of its gateways, with the ARGUMENTS given."""
    body = kubectl.json("get", KIND, name)
    path = urlsplit(str((body.get("status") or {}).get("url", ""))).path
    if not path:
        raise click.ClickException(f"{name} has no URL yet; `kubectl tus status {name}` says why")
    port = _port(kubectl.json("get", "deployment", f"{name}-gateway"))
    command = ("tusfleet", "ls", "--url", f"http://127.0.0.1:{port}{path}", *arguments)
    sys.exit(kubectl.attach("exec", f"deployment/{name}-gateway", "--container", "gateway", "--", *command))


@main.command()
@click.argument("name")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write; NAME-report.zip.")
@click.option("--operator-namespace", default="tusfleet-system", show_default=True, help="Where the operator runs.")
@click.pass_obj
def report(kubectl: Kubectl, name: str, output: Path | None, operator_namespace: str) -> None:
    """Pack the TusServer, its children, events and logs into a file. No Secret is read, and passwords are taken out."""
    place = output or Path(f"{name}-report.zip")
    found = reports.write(kubectl, name, operator_namespace, place)
    click.echo(f"{place}: {len(found)} files. Look through it before you give it to others.")


def _annotate(kubectl: Kubectl, name: str, annotation: str) -> None:
    kubectl.text("annotate", "--overwrite", KIND, name, annotation)


def _ready(body: dict[str, Any]) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _port(deployment: dict[str, Any]) -> int:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    ports = [port for each in containers for port in each.get("ports") or [] if port.get("name") == "uploads"]
    if not ports:
        raise click.ClickException("The gateways of this TusServer have no port for uploads")
    return int(ports[0]["containerPort"])
