"""Traces through OpenTelemetry: to a collector, to a file of JSON lines, or off. Off costs nothing per record.

Trace context crosses the bus per hop in the plain `traceparent` and `tracestate` headers (W3C). Where tracing is off,
an upstream's context is handed on unchanged.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.bus.envelope import Envelope

_PROPAGATOR = TraceContextTextMapPropagator()


class ServerSpan:
    """One HTTP request as a span; without a tracer only the caller's context, to be handed on."""

    def __init__(self, span: Span | None, method: str, carrier: Mapping[str, str]) -> None:
        self._span = span
        self._method = method
        self.traceparent = carrier["traceparent"].encode() if "traceparent" in carrier else None
        self.tracestate = carrier["tracestate"].encode() if carrier.get("tracestate") else None

    def finish(self, route: str | None, status: int) -> None:
        """Notes how it ended. `route` is the template of the path, None where there was no such path."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        if route is not None:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)


class Traces:
    """Spans around the handling of records; silent without a provider."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tailrace") if provider else None

    @property
    def on(self) -> bool:
        """Whether spans are recorded at all."""
        return self._tracer is not None

    @contextmanager
    def consuming(self, name: str, envelope: Envelope, attributes: Mapping[str, str | int]) -> Iterator[Envelope]:
        """A consumer span under the record's context; yields the envelope that outputs carry on."""
        if self._tracer is None:
            yield envelope
            return
        parent = _PROPAGATOR.extract(_carrier(envelope))
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _onward(envelope)
            except Exception as error:
                # The type only: a message may quote what was being worked on.
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    @contextmanager
    def serving(
        self, method: str, carrier: Mapping[str, str], attributes: Mapping[str, str | int]
    ) -> Iterator[ServerSpan]:
        """A server span under the caller's W3C context (`carrier`; an invalid one counts as none)."""
        parent = _PROPAGATOR.extract(carrier, context=Context())
        onward: dict[str, str] = {}
        if self._tracer is None:
            _PROPAGATOR.inject(onward, context=parent)
            yield ServerSpan(None, method, onward)
            return
        with self._tracer.start_as_current_span(
            method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            _PROPAGATOR.inject(onward)
            yield ServerSpan(span, method, onward)

    def shutdown(self) -> None:
        """Writes out what is left."""
        if self._provider:
            self._provider.shutdown()


def _carrier(envelope: Envelope) -> dict[str, str]:
    carrier = {}
    if envelope.traceparent:
        carrier["traceparent"] = envelope.traceparent.decode("ascii", errors="replace")
    if envelope.tracestate:
        carrier["tracestate"] = envelope.tracestate.decode("ascii", errors="replace")
    return carrier


def _onward(envelope: Envelope) -> Envelope:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return replace(
        envelope,
        traceparent=carrier["traceparent"].encode() if "traceparent" in carrier else envelope.traceparent,
        tracestate=carrier["tracestate"].encode() if "tracestate" in carrier else None,
    )


class _FileExporter(SpanExporter):
    """Spans as JSON lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def export(self, spans: "list[ReadableSpan] | tuple[ReadableSpan, ...] | object") -> SpanExportResult:
        assert isinstance(spans, list | tuple)
        self._file.writelines(span.to_json(indent=None) + "\n" for span in spans)
        self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def configure_traces(service: str, instance: int, otlp_endpoint: str | None, trace_file: Path | None) -> Traces:
    """The process's tracer: to the collector, to the file, to both, or off."""
    exporters: list[SpanExporter] = []
    if otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        exporters.append(OTLPSpanExporter(f"{otlp_endpoint}/v1/traces"))
    if trace_file:
        trace_file.parent.mkdir(parents=True, exist_ok=True)
        exporters.append(_FileExporter(trace_file.open("a", encoding="utf-8")))
    if not exporters:
        return Traces(None)
    resource = Resource.create(
        {"service.name": service, "service.namespace": "tailrace", "service.instance.id": str(instance)}
    )
    provider = TracerProvider(resource=resource)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)
