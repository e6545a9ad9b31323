"""What callers want of the gateway, in terms of the bus: ask a prompt and wait, submit a document, run a batch."""

from services.gateway.handlers.asking import NotReady, asking, submit_document

__all__ = ["NotReady", "asking", "submit_document"]
