"""Counts what the gate decided, read off its outputs, so that the handlers stay plain functions."""

import functools
from collections.abc import Callable

from libs.telemetry import Metrics
from schemas.base import Event
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptCleared, PromptFailed, PromptRefused

Handler = Callable[..., Event | None]


def measured(handler: Handler, metrics: Metrics) -> Handler:
    """The handler, with `tailrace.safety.findings` and `tailrace.masked_values` counted."""
    stage = handler.__name__

    @functools.wraps(handler)
    def counted(*args: object, **dependencies: object) -> Event | None:
        output = handler(*args, **dependencies)
        metrics.count("tailrace.safety.findings", 1, {"check": stage, "result": _result(output)})
        if isinstance(output, PromptCleared | CompletionCleared):
            for flag in output.flags:
                metrics.count("tailrace.safety.findings", 1, {"check": stage, "result": _kind(flag)})
        if isinstance(output, PromptCleared):
            for entity_type, count in output.masked.items():
                metrics.count("tailrace.masked_values", count, {"entity_type": entity_type})
        return output

    return counted


def _result(output: Event | None) -> str:
    match output:
        case PromptRefused() | PromptFailed():
            return output.reason.code
        case PromptCleared() | CompletionCleared() | CompletionChunkCleared():
            return "cleared"
        case _:
            return "withheld"


def _kind(flag: str) -> str:
    """`withheld:source:3` without the number: a metric's attributes must not grow with the data."""
    return flag.rstrip("0123456789").rstrip(":")
