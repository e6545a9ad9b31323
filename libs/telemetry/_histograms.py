"""Histograms that cost a microsecond a value: a stage records one per record it handles.

OpenTelemetry's own `Histogram.record` builds a measurement, looks for a context and hashes the attributes each time,
which was the largest single cost of delivering a record (docs/experiments.md). Here values are counted in place; what
is exported is the same, made of the SDK's public data types when a reader collects. Knows no names of ours.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
)

Attributes = Mapping[str, str | int | bool]
_Key = frozenset[tuple[str, str | int | bool]]

_MOST_SERIES = 2000
"""Per histogram, as the SDK has it: what comes after them is counted together."""
_OVERFLOW: Attributes = {"otel.metric.overflow": True}


class _Series:
    """One set of attributes of one histogram."""

    __slots__ = ("attributes", "bounds", "counts", "highest", "lowest", "since", "total")

    def __init__(self, attributes: Attributes, bounds: Sequence[float]) -> None:
        self.attributes = dict(attributes)
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.lowest, self.highest = inf, -inf
        self.since = time.time_ns()

    def add(self, value: float) -> None:
        """A value on a bound belongs below it, as OpenTelemetry says."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)

    def point(self, now: int) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=self.attributes,
            start_time_unix_nano=self.since,
            time_unix_nano=now,
            count=sum(self.counts),
            sum=self.total,
            bucket_counts=tuple(self.counts),
            explicit_bounds=tuple(self.bounds),
            min=self.lowest,
            max=self.highest,
        )


class Histograms:
    """All histograms of one process, cumulative since its start. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._units: dict[str, str] = {}
        self._series: dict[str, dict[_Key, _Series]] = {}

    def record(self, name: str, unit: str, bounds: Sequence[float], value: float, attributes: Attributes) -> None:
        """Counts one value. A histogram keeps the unit and the (sorted) bounds it was first given."""
        key = frozenset(attributes.items())
        with self._lock:
            found = self._series.get(name)
            series = found.get(key) if found is not None else None
            if series is None:
                series = self._new(name, unit, bounds, key, attributes)
            series.add(value)

    def _new(self, name: str, unit: str, bounds: Sequence[float], key: _Key, attributes: Attributes) -> _Series:
        self._units.setdefault(name, unit)
        all_series = self._series.setdefault(name, {})
        if len(all_series) >= _MOST_SERIES:
            key, attributes = frozenset(_OVERFLOW.items()), _OVERFLOW
        return all_series.setdefault(key, _Series(attributes, bounds))

    def collect(self) -> list[Metric]:
        """What was counted so far."""
        now = time.time_ns()
        with self._lock:
            return [
                Metric(
                    name=name,
                    description="",
                    unit=self._units[name],
                    data=Histogram([one.point(now) for one in series.values()], AggregationTemporality.CUMULATIVE),
                )
                for name, series in self._series.items()
            ]

    def added_to(self, collected: MetricsData, scope: str) -> MetricsData:
        """What the SDK collected, with these among the instruments of that scope."""
        return MetricsData([self._added(of_resource, scope) for of_resource in collected.resource_metrics])

    def _added(self, of_resource: ResourceMetrics, scope: str) -> ResourceMetrics:
        return replace(
            of_resource,
            scope_metrics=[
                replace(one, metrics=[*one.metrics, *self.collect()]) if one.scope.name == scope else one
                for one in of_resource.scope_metrics
            ],
        )
