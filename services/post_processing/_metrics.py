"""Counts outcomes, read off what `finish` returns, so that the handler stays a plain function."""

import functools
from collections.abc import Callable

from libs.bus import Output
from libs.telemetry import Metrics
from schemas.responses import ResponseReady, ResponseShadow

Finish = Callable[..., list[Output]]


def measured(handler: Finish, metrics: Metrics) -> Finish:
    """The handler, with `tailrace.outcomes` counted by status and reason."""

    @functools.wraps(handler)
    def counted(*args: object, **dependencies: object) -> list[Output]:
        outputs = handler(*args, **dependencies)
        for outcome in outputs:
            if isinstance(outcome, ResponseReady) and not isinstance(outcome, ResponseShadow):
                reason = outcome.reason.code if outcome.reason else "none"
                metrics.count("tailrace.outcomes", 1, {"status": outcome.status, "reason": reason})
        return outputs

    return counted
