"""What the gateway knows of waiting callers, streamed text, keys and repeated requests. No HTTP, no Kafka."""

from services.gateway.domain.desk import CallerGone, Desk, DeskClosed, DeskFull, SameIdInUse, Ticket
from services.gateway.domain.identity import COMPLETION_PREFIX, derived_id, fingerprint
from services.gateway.domain.keys import ApiKey, Caller, Keyring
from services.gateway.domain.text import Streamed

__all__ = [
    "COMPLETION_PREFIX",
    "ApiKey",
    "Caller",
    "CallerGone",
    "Desk",
    "DeskClosed",
    "DeskFull",
    "Keyring",
    "SameIdInUse",
    "Streamed",
    "Ticket",
    "derived_id",
    "fingerprint",
]
