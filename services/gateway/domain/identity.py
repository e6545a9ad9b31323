"""Which request is the same as one before: ids made of a caller's own key, and what makes two prompts alike."""

import hashlib

from schemas.prompts import PromptSubmitted

COMPLETION_PREFIX = "chatcmpl-"
"""Before a prompt's id: the id of its completion, as OpenAI's begin."""


def derived_id(kind: str, tenant: str, key: str) -> str:
    """The id a tenant's `Idempotency-Key` always leads to, for one kind of thing."""
    return f"{kind}-{hashlib.sha256(f'{tenant}/{key}'.encode()).hexdigest()[:32]}"


def fingerprint(prompt: PromptSubmitted) -> str:
    """SHA-256 over what is asked, without ids, deadline and form of delivery: what ingestion compares, too."""
    asked = prompt.model_dump_json(exclude={"prompt_id", "tenant", "deadline", "metadata", "stream"})
    return hashlib.sha256(asked.encode()).hexdigest()
