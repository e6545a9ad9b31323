"""Metrics through OpenTelemetry: Prometheus text on the health port, OTLP where a collector is named.

Names are a type, so that a typo is an error and a dashboard can rest on them.
"""

import time
from collections.abc import Callable, Iterable
from typing import Literal

from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation, UpDownCounter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

from libs.telemetry._histograms import Attributes, Histograms
from libs.telemetry._readers import PrometheusReader, PushingReader

MetricName = Literal[
    "tailrace.records",
    "tailrace.handling.duration",
    "tailrace.in_flight",
    "tailrace.dead_letters",
    "tailrace.prompts",
    "tailrace.repeated_prompts",
    "tailrace.documents",
    "tailrace.chunks_indexed",
    "tailrace.retrieval.duration",
    "tailrace.masked_values",
    "tailrace.safety.findings",
    "tailrace.policy.reloads",
    "tailrace.outcomes",
    "tailrace.feedback",
    "tailrace.feedback.left_out",
    "tailrace.examples",
    "tailrace.sealed_boxes_unopened",
    "tailrace.cache.lookups",
    "tailrace.adapters.serving",
    "tailrace.adapters.revision",
    "tailrace.adapters.failing",
    "tailrace.adapters.failures",
    "tailrace.adapters.bad_records",
    "tailrace.canary.decisions",
    "tailrace.http.requests",
    "tailrace.http.request.duration",
    "tailrace.http.streams",
    "gen_ai.client.operation.duration",
    "gen_ai.client.token.usage",
    "gen_ai.server.time_to_first_token",
    "gen_ai.server.time_per_output_token",
]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKENS = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1e3, 2.5e3, 5e3, 7.5e3, 1e4)
"""OpenTelemetry's default bounds."""
_SCOPE = "tailrace"


class Metrics:
    """Instruments by name, made on first use."""

    def __init__(self, meter: Meter, histograms: Histograms | None = None) -> None:
        self._meter = meter
        self._counters: dict[str, Counter] = {}
        self._levels: dict[str, UpDownCounter] = {}
        self._histograms = histograms or Histograms()

    def count(self, name: MetricName, value: int = 1, attributes: Attributes | None = None) -> None:
        """Adds to a counter."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._meter.create_counter(name)
        counter.add(value, attributes)

    def level(self, name: MetricName, change: int, attributes: Attributes | None = None) -> None:
        """Raises or lowers a level, such as work in flight."""
        level = self._levels.get(name)
        if level is None:
            level = self._levels[name] = self._meter.create_up_down_counter(name)
        level.add(change, attributes)

    def record(self, name: MetricName, value: float, attributes: Attributes | None = None) -> None:
        """Adds to a histogram; durations in seconds."""
        if name == "gen_ai.client.token.usage":
            self._histograms.record(name, "{token}", _TOKENS, value, attributes or {})
        else:
            self._histograms.record(name, "s", _SECONDS, value, attributes or {})


def configure_metrics(service: str, instance: int, otlp_endpoint: str | None) -> tuple[Metrics, MeterProvider]:
    """The process's instruments and their provider; `provider.shutdown()` writes out what is left."""
    histograms = Histograms()
    readers: list[MetricReader] = [PrometheusReader(histograms, _SCOPE)]
    if otlp_endpoint:
        # Imported here: it costs 20 MB that a process without a collector need not spend.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        readers.append(PushingReader(OTLPMetricExporter(f"{otlp_endpoint}/v1/metrics"), histograms, _SCOPE))
    resource = Resource.create(
        {"service.name": service, "service.namespace": "tailrace", "service.instance.id": str(instance)}
    )
    # Exemplars go nowhere from here, and looking for them costs almost as much as counting.
    provider = MeterProvider(metric_readers=readers, resource=resource, exemplar_filter=AlwaysOffExemplarFilter())
    meter = provider.get_meter(_SCOPE)
    # A reader is told of a collection only where the SDK itself has a value to export: here is one that always is.
    meter.create_observable_gauge("process.uptime", [_uptime(time.monotonic())], unit="s")
    return Metrics(meter, histograms), provider


def _uptime(since: float) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(time.monotonic() - since)]


def prometheus_text() -> bytes:
    """All metrics of the process in Prometheus's text format."""
    return generate_latest()
