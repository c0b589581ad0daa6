"""`tusfleet janitor` expires, drives on and cleans up for a fleet, for good or once, or tells what it would do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tusfleet.cli.failures import Failure, WrongSetting
from tusfleet.cli.serving import FLEET, run_service
from tusfleet.cli.settings_flags import loaded, settings_flags
from tusfleet.cli.text import printable, size_text, table
from tusfleet.settings import LogFormat, Settings, SettingsError

if TYPE_CHECKING:
    from tusfleet.janitor.report import Report

NOT_WELL = 1
"""Exit status when something could not be done."""


@click.command(short_help="Expire and clean up for a fleet.")
@click.option("--once", is_flag=True, help="Make one pass, print a report and end: with 1 when something failed.")
@click.option("--dry-run", is_flag=True, help="Change nothing, and print what one pass would do.")
@click.option(
    "--report",
    "output",
    type=click.Choice(["text", "json"]),
    help="How to print the report of --once or --dry-run.  [default: text]",
)
@settings_flags(FLEET)
@click.pass_context
def janitor(
    ctx: click.Context,
    /,
    once: bool,
    dry_run: bool,
    output: str | None,
    config_file: Path | None,
    **flags: Any,
) -> None:
    """Expire, drive on and clean up what a fleet left behind. Any number may run: one at a time does the work."""
    found = loaded(flags, config_file, FLEET)
    if once or dry_run:
        report = _pass(found.settings, dry_run=dry_run)
        click.echo(as_json(report) if output == "json" else as_text(report))
        ctx.exit(0 if report.well else NOT_WELL)
    if output is not None:
        raise click.UsageError("--report goes with --once or --dry-run: a janitor that runs writes to its log")
    ctx.exit(run_service(found, ("sweeper",)))


def _pass(settings: Settings, *, dry_run: bool) -> Report:
    # Loads the stores, which no other command needs.
    from tusfleet.gateway.app import Service
    from tusfleet.observability.logs import configure
    from tusfleet.uploads.errors import UploadError

    configure(json_lines=settings.log_format is LogFormat.JSON, level=settings.log_level)
    try:
        return asyncio.run(Service(settings).sweep_once(dry_run=dry_run))
    except SettingsError as error:
        raise WrongSetting(str(error)) from None
    except UploadError as error:
        raise Failure(error.detail) from None


def as_json(report: Report) -> str:
    """The report as an object; see docs/janitor.md."""
    return json.dumps(report.plain(), indent=2, ensure_ascii=False)


def as_text(report: Report) -> str:
    """The report as a table, with a line for every upload of a dry run and for every failure."""
    rows = [
        (action.done, str(tally.done), str(tally.left), str(tally.failed), size_text(tally.bytes))
        for action, tally in report.tallies.items()
    ]
    lines = [table(("", "WOULD BE DONE" if report.dry_run else "DONE", "LEFT", "FAILED", "BYTES"), rows)]
    for action, names in report.named.items():
        lines += [f"would be {action.done}: {id} ({size_text(size)})" for id, size in names]
        if rest := report.tallies[action].done - len(names):
            lines.append(f"would be {action.done}: {rest} more")
    for failure in report.failures:
        about = failure.upload_id or "all"
        lines.append(f"cannot be {failure.action.done}: {about}: {printable(failure.detail)} ({failure.reason})")
    if rest := report.failed - len(report.failures):
        lines.append(f"{rest} more failed")
    if report.ended_early is not None:
        lines.append(f"given up: {printable(report.ended_early.detail)}")
    lines.append(f"{'Nothing was changed; looked for' if report.dry_run else 'Took'} {report.seconds:.1f} s")
    return "\n".join(lines)
