"""The gate: prompts on their way in, completions and their stream on their way out. Event in, event out.

Whatever goes wrong in a check, nothing passes: an exception is a bug and ends in a dead letter and a failed outcome,
an unknown policy makes the prompt wait. No reason and no exception quotes the text that was examined.
"""

import functools
import traceback
from collections.abc import Callable
from typing import TypeVar

from libs.bus import Rejected, Retryable
from libs.clock import Clock
from libs.personal_data import Unmaskable
from libs.sealing import Sealer
from schemas.base import Reason
from schemas.completions import CompletionChunk, CompletionChunkCleared, CompletionCleared, CompletionGenerated
from schemas.prompts import PromptCleared, PromptFailed, PromptGrounded, PromptRefused
from services.safety._prompts import examine, masked_prompt, withheld
from services.safety.domain.judgement import reached
from services.safety.domain.policy import Policy
from services.safety.domain.redaction import Redactor
from services.safety.domain.withholding import CannotWithhold
from services.safety.ports import Detectors, Policies

STAGE = "safety"
_Handler = TypeVar("_Handler", bound=Callable[..., object])


class CheckFailedError(RuntimeError):
    """A check broke. Says where, never on what: the text under examination must not reach logs or dead letters."""


def _shut_on_error(handler: _Handler) -> _Handler:
    @functools.wraps(handler)
    def guarded(*args: object, **dependencies: object) -> object:
        try:
            return handler(*args, **dependencies)
        except (Rejected, Retryable):
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
            raise CheckFailedError(f"{type(error).__name__} in {where}") from None

    return guarded  # type: ignore[return-value]


@_shut_on_error
def clear_prompt(
    event: PromptGrounded, *, policies: Policies, detectors: Detectors, sealer: Sealer, clock: Clock
) -> PromptCleared | PromptRefused | PromptFailed:
    """The prompt, masked, for the model; or why there will be no answer. Raises Retryable while no policy is known."""
    if event.deadline is not None and clock() >= event.deadline:
        late = Reason(code="deadline_exceeded", message="the deadline passed before the safety check", stage=STAGE)
        return PromptFailed(**event.carried(), reason=late)
    policy = policies.policy_for(event.tenant)
    found = examine(event, policy, detectors)
    if refused := sorted({concern.flag for concern in found if concern.action == "refuse"}):
        return _refused_prompt(event, f"the prompt was found unsafe ({', '.join(refused)})", policy)
    try:
        kept = withheld(event, found)
        if event.sources_required and not kept.sources:
            return _no_source_left(event, policy)
        cleared, refused_kinds = masked_prompt(kept, found, policy, detectors, sealer)
    except CannotWithhold as error:
        return _refused_prompt(event, f"a source was found unsafe, and {error}", policy)
    except Unmaskable as error:
        return _refused_prompt(event, f"the prompt's personal data cannot be masked: {error}", policy)
    if refused_kinds:
        return _refused_prompt(event, f"the prompt holds personal data ({', '.join(refused_kinds)})", policy)
    return cleared


@_shut_on_error
def clear_completion(
    event: CompletionGenerated, *, policies: Policies, detectors: Detectors
) -> CompletionCleared | PromptRefused:
    """The completion with personal data of its own redacted; or that it may not be shown."""
    policy = policies.policy_for(event.tenant)
    toxic = reached(detectors.toxicity.score(event.text), policy.answer.toxicity)
    if toxic and policy.answer.toxicity.action == "refuse":
        return _refused_answer(event, "the answer was found unsafe (toxicity)", policy)
    redactor = Redactor(detectors.personal_data.find, policy.answer.personal_data)
    try:
        text = redactor.redact_json(event.text) if event.parameters.wants_json else redactor.redact(event.text)
    except Unmaskable as error:
        return _refused_answer(event, f"the answer's personal data cannot be redacted: {error}", policy)
    if kinds := redactor.kinds("refuse"):
        return _refused_answer(event, f"the answer holds personal data ({', '.join(kinds)})", policy)
    return _cleared_completion(event, text, redactor, policy, toxic=toxic)


def clear_chunk(event: CompletionChunk, *, policies: Policies, detectors: Detectors) -> CompletionChunkCleared | None:
    """A window of the stream, redacted; None withholds it, and the rest of the answer comes with the outcome.

    A check that breaks withholds as well: the whole answer is examined again anyway.
    """
    try:
        policy = policies.policy_for(event.tenant)
        text = _window(event, policy, detectors) if policy.chunks.enabled else None
    except Exception:
        return None
    if text is None:
        return None
    seal = {"sealed": event.sealed, "seal_key_id": event.seal_key_id}
    return CompletionChunkCleared(**event.carried(), **seal, index=event.index, text=text, policy=policy.label)


def _window(event: CompletionChunk, policy: Policy, detectors: Detectors) -> str | None:
    toxicity = policy.answer.toxicity
    if toxicity.action == "refuse" and reached(detectors.toxicity.score(event.preceding + event.text), toxicity):
        return None
    redactor = Redactor(detectors.personal_data.find, policy.answer.personal_data)
    text = redactor.redact_window(event.preceding, event.text)
    return None if redactor.kinds("refuse") else text


def _cleared_completion(
    event: CompletionGenerated, text: str, redactor: Redactor, policy: Policy, *, toxic: bool
) -> CompletionCleared:
    flags = {*event.flags, *(f"personal_data:answer:{kind}" for kind in redactor.kinds("flag"))}
    flags |= {"toxicity:answer"} if toxic else set()
    masked = dict(event.masked)
    for kind in redactor.kinds("mask"):
        masked[kind] = masked.get(kind, 0) + redactor.seen[kind]
    kept = {name: getattr(event, name) for name in CompletionGenerated.model_fields}
    changed = {"text": text, "masked": masked, "flags": tuple(sorted(flags)), "policy": policy.label}
    return CompletionCleared(**(kept | changed))


def _refused_prompt(event: PromptGrounded, what: str, policy: Policy) -> PromptRefused:
    message = f"{what}; rephrase it, or have the operator adjust the policy {policy.label}"
    return PromptRefused(**event.carried(), reason=Reason(code="unsafe_prompt", message=message, stage=STAGE))


def _no_source_left(event: PromptGrounded, policy: Policy) -> PromptRefused:
    message = f"every source was withheld as unsafe; mend the documents, or have the operator adjust {policy.label}"
    return PromptRefused(**event.carried(), reason=Reason(code="no_source", message=message, stage=STAGE))


def _refused_answer(event: CompletionGenerated, what: str, policy: Policy) -> PromptRefused:
    message = f"{what}; ask differently, or have the operator adjust the policy {policy.label}"
    reason = Reason(code="unsafe_answer", message=message, stage=STAGE)
    return PromptRefused(**event.carried(), reason=reason, masked=event.masked, model=event.model)
