"""OpenTelemetry's readers, which here export our own histograms beside the SDK's instruments."""

from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData, PeriodicExportingMetricReader

from libs.telemetry._histograms import Histograms


class PrometheusReader(PrometheusMetricReader):
    """Answers scrapes."""

    def __init__(self, histograms: Histograms, scope: str) -> None:
        self._own = histograms
        self._scope = scope
        super().__init__()

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._own.added_to(metrics_data, self._scope), timeout_millis, **kwargs)


class PushingReader(PeriodicExportingMetricReader):
    """Sends to a collector once a minute."""

    def __init__(self, exporter: MetricExporter, histograms: Histograms, scope: str) -> None:
        # First: the parent starts the thread that collects.
        self._own = histograms
        self._scope = scope
        super().__init__(exporter)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._own.added_to(metrics_data, self._scope), timeout_millis, **kwargs)
