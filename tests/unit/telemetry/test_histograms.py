"""Our histograms say what OpenTelemetry's would have said."""

import re
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)

from libs.telemetry import Metrics, configure_metrics
from libs.telemetry._histograms import Histograms
from libs.telemetry._readers import PushingReader
from libs.telemetry.metrics import prometheus_text

BOUNDS = (0.1, 1.0, 5.0)
WHO = {"topic": "prompt-accepted", "result": "handled"}


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made, provider = configure_metrics("tested", 0, None)
    yield made
    provider.shutdown()


def points(metrics: list[Metric]) -> list[HistogramDataPoint]:
    """All data points, without their times."""
    data = [metric.data for metric in metrics]
    assert all(isinstance(one, Histogram) for one in data)
    found = [point for one in data if isinstance(one, Histogram) for point in one.data_points]
    return [replace(point, start_time_unix_nano=0, time_unix_nano=0) for point in found]


def by_opentelemetry(values: list[float]) -> list[HistogramDataPoint]:
    """What the SDK makes of the same values."""
    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("test")
    histogram = meter.create_histogram("h", explicit_bucket_boundaries_advisory=BOUNDS)
    for value in values:
        histogram.record(value, WHO)
    collected = reader.get_metrics_data()
    assert collected is not None
    found = points(list(collected.resource_metrics[0].scope_metrics[0].metrics))
    return [replace(point, exemplars=[]) for point in found]


@given(st.lists(st.one_of(st.sampled_from([0.0, *BOUNDS]), st.floats(0, 100)), min_size=1, max_size=40))
def test_the_same_values_give_the_same_point_as_opentelemetry_makes(values: list[float]) -> None:
    ours = Histograms()
    for value in values:
        ours.record("h", "s", BOUNDS, value, WHO)
    assert points(ours.collect()) == by_opentelemetry(values)


def test_sets_of_attributes_are_counted_apart_whatever_their_order() -> None:
    ours = Histograms()
    ours.record("h", "s", BOUNDS, 0.5, {"a": 1, "b": 2})
    ours.record("h", "s", BOUNDS, 0.5, {"b": 2, "a": 1})
    ours.record("h", "s", BOUNDS, 0.5, {"a": 2, "b": 1})
    assert [point.count for point in points(ours.collect())] == [2, 1]


def test_attributes_without_end_are_counted_together_from_the_2000th_on() -> None:
    ours = Histograms()
    for number in range(2100):
        ours.record("h", "s", BOUNDS, 0.5, {"user": number})
    found = points(ours.collect())
    assert len(found) == 2001
    assert found[-1].attributes == {"otel.metric.overflow": True}
    assert found[-1].count == 100


def test_threads_lose_no_value() -> None:
    ours = Histograms()

    def count() -> None:
        for _ in range(5000):
            ours.record("h", "s", BOUNDS, 0.5, WHO)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert points(ours.collect())[0].count == 20_000


def test_a_scrape_has_the_histogram_under_its_prometheus_name(metrics: Metrics) -> None:
    for seconds in (0.003, 0.2, 0.2):
        metrics.record("tailrace.handling.duration", seconds, WHO)
    for _ in range(2):
        # A second scrape: the counts go on, they do not start anew.
        text = prometheus_text().decode()
        assert re.search(
            r'^tailrace_handling_duration_seconds_count\{.*topic="prompt-accepted".*\} 3\.0$', text, re.MULTILINE
        )
        assert re.search(
            r'^tailrace_handling_duration_seconds_bucket\{le="0.005",.*\} 1\.0$', _sorted(text), re.MULTILINE
        )


def _sorted(text: str) -> str:
    """Lines with their labels in alphabetical order."""

    def line(found: re.Match[str]) -> str:
        return "{" + ",".join(sorted(found[1].split(","))) + "}"

    return re.sub(r"\{(.*)\}", line, text)


class Collector(MetricExporter):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        self.received.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        return None


def test_a_collector_is_sent_the_histograms_beside_the_other_instruments() -> None:
    ours, collector = Histograms(), Collector()
    provider = MeterProvider(metric_readers=[PushingReader(collector, ours, "tailrace")])
    provider.get_meter("tailrace").create_counter("c").add(1)
    provider.get_meter("another").create_counter("c").add(1)
    ours.record("h", "s", BOUNDS, 0.5, WHO)
    provider.force_flush()
    scopes = collector.received[0].resource_metrics[0].scope_metrics
    assert {scope.scope.name: [metric.name for metric in scope.metrics] for scope in scopes} == {
        "tailrace": ["c", "h"],
        "another": ["c"],
    }
    provider.shutdown()
