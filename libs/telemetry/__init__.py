"""Logs, metrics and traces, set up the same way in every service. Never carries text of prompts or answers."""

from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.metrics import MetricName, Metrics, configure_metrics
from libs.telemetry.observer import TelemetryObserver
from libs.telemetry.traces import Traces, configure_traces

__all__ = [
    "MetricName",
    "Metrics",
    "TelemetryObserver",
    "Traces",
    "configure_logs",
    "configure_metrics",
    "configure_traces",
    "get_logger",
]
