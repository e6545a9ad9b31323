"""The filters that `dead-letters list` and `replay` have in common."""

from datetime import datetime
from typing import Annotated

import typer

from services.console.domain.addresses import dead_letter_name
from services.console.domain.dead_letters import Wanted
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import read_moment, read_span

Topic = Annotated[str | None, typer.Option(help="Only of this topic (its own name or that of its dead letters).")]
Stage = Annotated[str | None, typer.Option(help="Only given up by this stage, e.g. grounding.")]
Code = Annotated[str | None, typer.Option(help="Only with this reason code, e.g. invalid_request.")]
Reason = Annotated[str | None, typer.Option(help="Only with this text in the reason.")]
Tenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
Prompt = Annotated[str | None, typer.Option(help="Only of this prompt id.")]
Since = Annotated[str | None, typer.Option(help="How far back: 90s, 15m, 1h, 2d.  [default: 24h]")]
Until = Annotated[str | None, typer.Option(help="Only older than that: 90s, 15m, 1h, 2d.")]
From = Annotated[str | None, typer.Option("--from", help="From that moment on: 2026-01-31T10:00, UTC.")]
To = Annotated[str | None, typer.Option("--to", help="Before that moment.")]
Shadows = Annotated[bool, typer.Option("--shadows", help="Also those of shadows (tailrace replay).")]


def wanted(
    now: datetime,
    *,
    topic: str | None,
    stage: str | None,
    code: str | None,
    reason: str | None,
    tenant: str | None,
    prompt: str | None,
    since: str | None,
    until: str | None,
    start: str | None,
    end: str | None,
    shadows: bool,
) -> Wanted:
    """Which letters are meant. Raises ConsoleError."""
    return Wanted(
        dead_letter_name(topic) if topic else None,
        stage,
        code,
        reason,
        tenant,
        prompt,
        _bound(start, since or (None if start else "24h"), now, "--from and --since"),
        _bound(end, until, now, "--to and --until"),
        shadows,
    )


def _bound(moment: str | None, span: str | None, now: datetime, names: str) -> int | None:
    if moment is not None and span is not None:
        raise ConsoleError(f"{names} say the same thing; give one of them", exit_code=2)
    if moment is None and span is None:
        return None
    at = read_moment(moment) if moment is not None else now - read_span(span or "")
    return int(at.timestamp() * 1000)
