"""What callers want of the gateway, in terms of the bus: ask and wait, submit documents and feedback, run batches."""

from services.gateway.handlers.asking import NotReady, asking, submit

__all__ = ["NotReady", "asking", "submit"]
