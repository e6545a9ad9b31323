"""Delivery's reports as logs, metrics and spans, under OpenTelemetry's messaging names."""

from contextlib import AbstractContextManager, nullcontext

from libs.bus.envelope import Envelope
from libs.bus.observer import Result
from libs.bus.records import Record
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import Metrics
from libs.telemetry.traces import Traces


class TelemetryObserver:
    """What a stage reports, made visible."""

    def __init__(self, service: str, metrics: Metrics, traces: Traces) -> None:
        self._group = f"tailrace-{service}"
        self._metrics = metrics
        self._traces = traces
        self._log = get_logger("delivery")
        self._attributes: dict[tuple[str, str, str], dict[str, str]] = {}
        self._in_flight = 0

    def handling(self, route: str, record: Record, envelope: Envelope) -> AbstractContextManager[Envelope]:
        if not self._traces.on:
            return nullcontext(envelope)
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
            "messaging.message.id": envelope.id,
            "code.function.name": route,
        }
        return self._traces.consuming(f"process {record.topic}", envelope, attributes)

    def finished(self, topic: str, route: str, result: Result, seconds: float) -> None:
        key = (topic, route, result)
        attributes = self._attributes.get(key)
        if attributes is None:
            attributes = {"messaging.destination.name": topic, "handler": route, "result": result}
            self._attributes[key] = attributes
        self._metrics.record("tailrace.handling.duration", seconds, attributes)

    def in_flight(self, count: int) -> None:
        self._metrics.level("tailrace.in_flight", count - self._in_flight)
        self._in_flight = count

    def gave_up(self, record: Record, code: str, message: str, error: BaseException | None) -> None:
        self._metrics.count("tailrace.dead_letters", 1, {"messaging.destination.name": record.topic, "code": code})
        self._log.warning(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            code=code,
            reason=message,
            where=_frames(error),
        )

    def event(self, name: str, **details: object) -> None:
        self._log.info(name, **details)


def _frames(error: BaseException | None) -> list[str] | None:
    """File, line and function of each frame, without the exception's message: it may quote content."""
    if error is None:
        return None
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return frames[-8:]
