"""`tailrace check`: is anything lost, doubled, unchecked or out of order? Reads a range of topics, writes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from libs.audit import MEANINGS, Report, Scope, kafka_commits
from libs.audit import check as check_log
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from services.console.adapters.connection import bus_settings, connected_to
from services.console.adapters.terminal import out, print_json, progress
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import read_moment, read_span

UNREAD = 2

From = Annotated[str | None, typer.Option("--from", help="Prompts submitted from then on: 2026-01-31T10:00, UTC.")]
To = Annotated[str | None, typer.Option("--to", help="Prompts submitted before then.")]
Since = Annotated[str | None, typer.Option(help="The same as --from, so long ago: 90s, 15m, 1h, 2d.")]
Until = Annotated[str | None, typer.Option(help="The same as --to, so long ago.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's prompts.")]
Grace = Annotated[
    str, typer.Option(help="Older prompts in flight are told apart; without commits, younger ones count as in flight.")
]
Timeout = Annotated[str, typer.Option(help="Give up when the broker sends nothing for so long.")]
Show = Annotated[int, typer.Option(min=1, help="Findings shown of each kind; all are counted.")]


def check(
    start: From = None,
    end: To = None,
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    grace: Grace = "5m",
    timeout: Timeout = "60s",
    show: Show = 20,
    as_json: Json = False,
) -> None:
    """Check a range of the topics, by default all they hold: one outcome per prompt, nothing unchecked, in order.

    Reads only, without a group, also while traffic flows. Exit code 0: sound; 1: damage was found; 2: the topics
    could not be read.
    """
    now = utc_now()
    scope = Scope(_moment(start, since, now, "from", "since"), _moment(end, until, now, "to", "until"), tenant)
    report = _checked(scope, read_span(grace), read_span(timeout), show)
    print_json(report.as_json()) if as_json else show_report(report)
    if not report.sound:
        raise typer.Exit(1)


def _moment(moment: str | None, span: str | None, now: datetime, *names: str) -> datetime | None:
    if moment is not None and span is not None:
        raise ConsoleError(f"--{names[0]} and --{names[1]} say the same thing; give one of them", exit_code=UNREAD)
    if span is not None:
        return now - read_span(span)
    return None if moment is None else read_moment(moment)


def _checked(scope: Scope, grace: timedelta, patience: timedelta, show: int) -> Report:
    try:
        settings = bus_settings()

        async def work(bus: KafkaBus) -> Report:
            with progress("check") as shown:
                return await check_log(
                    bus,
                    scope,
                    commits=lambda: kafka_commits(settings),
                    grace=grace,
                    patience=patience,
                    keep=show,
                    progress=shown,
                )

        return connected_to(settings, work)
    except ConsoleError as error:
        raise ConsoleError(str(error), exit_code=UNREAD) from error
    except TimeoutError:
        said = f"the broker sent nothing for {patience.total_seconds():.0f} s; nothing can be said of the topics"
        raise ConsoleError(said, exit_code=UNREAD) from None


def show_report(report: Report) -> None:
    """Prompts, topics, what was checked, and each finding on a line of its own."""
    console = out()
    console.print(_topics(report))
    console.print(_prompts(report))
    for line in _asides(report):
        console.print(line)
    for kind, meaning in MEANINGS.items():
        count = report.counts[kind]
        console.print(f"  [{'red' if count else 'green'}]{count:>6}[/] {meaning}")
    for finding in report.findings:
        whose = f"{finding.tenant}/{finding.prompt_id}" if finding.prompt_id else "no prompt"
        line = f"[red]{finding.kind}[/] {escape(whose)} at {finding.place}: {escape(finding.says)}"
        console.print(line, soft_wrap=True)
    if held_back := sum(report.counts.values()) - len(report.findings):
        console.print(f"… and {held_back} more (--show)")
    console.print("[bold green]sound[/]" if report.sound else "[bold red]damaged[/]")


def _topics(report: Report) -> Table:
    table = Table("topic")
    for name in ("records", "led on", "dead letters", "waiting", "silent", "same bytes", "same decision", "another"):
        table.add_column(name, justify="right")
    for name, it in report.topics.items():
        told = (it.records, it.led_on, it.dead_lettered, it.waiting, it.silent)
        table.add_row(name, *map(str, (*told, it.copies, it.redone, it.redone_otherwise)))
    return table


def _prompts(report: Report) -> str:
    it = report.prompts
    return (
        f"{it.judged} prompts: {it.answered} answered, {it.refused} refused, {it.failed} failed, "
        f"{it.in_flight} in flight, {report.counts['lost']} lost; {it.outside} more lie partly outside the range"
    )


def _asides(report: Report) -> list[str]:
    it = report.prompts
    waiting = ", ".join(f"{service} {count}" for service, count in sorted(report.waiting_for.items()))
    oldest = report.oldest_in_flight.astimezone(UTC).isoformat(timespec="seconds") if report.oldest_in_flight else ""
    lines = (
        (it.in_flight, f"in flight: {waiting}; the oldest since {oldest}, {it.overdue} longer than the grace"),
        (it.repeated, f"{it.repeated} repeated submissions"),
        (it.asked_again, f"{it.asked_again} prompts asked again after their id was forgotten, or under another key"),
        (it.paid_twice, f"{it.paid_twice} generations paid twice"),
        (not report.by_commits, "the broker tells no commits of the services: in flight was decided by age"),
    )
    return [line for wanted, line in lines if wanted]
