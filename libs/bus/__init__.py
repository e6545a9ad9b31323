"""The delivery core: at least once on the wire, effectively once in effect, in order per key, with many in flight.

A service describes itself as routes, memories and views; `Stage` runs them over a `Bus`, which is Kafka or memory.
"""

from libs.bus.breaker import FailureGauge
from libs.bus.envelope import (
    INPUT_HEADER,
    MAX_EVENT_BYTES,
    REPLY_TO_HEADER,
    SHADOW_HEADER,
    Envelope,
    cause_of,
    decode,
    encode,
    explain,
    headers_for,
    read_envelope,
)
from libs.bus.errors import Rejected, Retryable, TooManyFailures
from libs.bus.failures import Failure
from libs.bus.in_memory import InMemoryBus
from libs.bus.memory import Memory, OutputMemory
from libs.bus.observer import Observer, Result, SilentObserver
from libs.bus.offsets import OffsetTracker
from libs.bus.once import say, write_once
from libs.bus.records import Outgoing, Record, StoredRecord, TopicPartition, header
from libs.bus.routes import Context, Delivery, Output, Outputs, Route, To
from libs.bus.stage import Stage
from libs.bus.transport import Bus, Producer
from libs.bus.view import View, ViewReader
from libs.bus.window import KeyedWindow

__all__ = [
    "INPUT_HEADER",
    "MAX_EVENT_BYTES",
    "REPLY_TO_HEADER",
    "SHADOW_HEADER",
    "Bus",
    "Context",
    "Delivery",
    "Envelope",
    "Failure",
    "FailureGauge",
    "InMemoryBus",
    "KeyedWindow",
    "Memory",
    "Observer",
    "OffsetTracker",
    "Outgoing",
    "Output",
    "OutputMemory",
    "Outputs",
    "Producer",
    "Record",
    "Rejected",
    "Result",
    "Retryable",
    "Route",
    "SilentObserver",
    "Stage",
    "StoredRecord",
    "To",
    "TooManyFailures",
    "TopicPartition",
    "View",
    "ViewReader",
    "cause_of",
    "decode",
    "encode",
    "explain",
    "header",
    "headers_for",
    "read_envelope",
    "say",
    "write_once",
]
