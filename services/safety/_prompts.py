"""A prompt's examination, step by step: judge its pieces, take out dropped sources, mask the rest, seal the mapping."""

from collections.abc import Iterator, Sequence

from libs.personal_data import EntityType, already_written
from libs.sealing import Sealer
from schemas.base import Parameters
from schemas.prompts import PromptCleared, PromptGrounded, Source
from services.safety.domain.judgement import Concern, concerns
from services.safety.domain.masking import Masker
from services.safety.domain.pieces import pieces_of
from services.safety.domain.policy import Policy
from services.safety.domain.withholding import withhold
from services.safety.ports import Detectors


def examine(event: PromptGrounded, policy: Policy, detectors: Detectors) -> list[Concern]:
    """What policy has to say of the prompt's pieces: injection and toxicity, each by provenance."""
    pieces = list(pieces_of(event))
    injection = ((piece, detectors.injection.score(piece.text, piece.provenance)) for piece in pieces)
    toxicity = ((piece, detectors.toxicity.score(piece.text)) for piece in pieces)
    return [*concerns("injection", injection, policy.injection), *concerns("toxicity", toxicity, policy.toxicity)]


def withheld(event: PromptGrounded, found: Sequence[Concern]) -> PromptGrounded:
    """The prompt without the sources that policy drops. Raises CannotWithhold."""
    dropped: dict[int | None, bool] = {}
    for concern in found:
        if concern.action == "drop":
            number = concern.piece.source
            dropped[number] = dropped.get(number, False) or concern.piece.of_label
    if not dropped:
        return event
    gone = {source: dropped[source.number] for source in event.sources if source.number in dropped}
    kept = tuple(source for source in event.sources if source.number not in dropped)
    return event.model_copy(update={"messages": withhold(event.messages, gone), "sources": kept})


def masked_prompt(
    event: PromptGrounded, found: Sequence[Concern], policy: Policy, detectors: Detectors, sealer: Sealer
) -> tuple[PromptCleared, list[EntityType]]:
    """The prompt as the model may see it, and the kinds of personal data for which it must be refused instead."""
    texts = list(_texts(event))
    masker = Masker(detectors.personal_data.find, policy.personal_data, already_written(texts))
    masker.learn(texts)
    body = {
        "messages": tuple(m.model_copy(update={"content": masker.mask(m.content)}) for m in event.messages),
        "sources": tuple(_masked_source(source, masker) for source in event.sources),
        "metadata": masker.mask_json(dict(event.metadata)),
        "parameters": _masked_parameters(event.parameters, masker),
        "model": None if event.model is None else masker.mask(event.model),
    }
    box, key_id = sealer.seal(masker.restorable) if masker.restorable else (None, None)
    cleared = PromptCleared(
        **event.carried(),
        **body,
        stream=event.stream,
        prompt_tokens=event.prompt_tokens,
        template=event.template,
        masked=masker.counts,
        sealed=box,
        seal_key_id=key_id,
        flags=_flags(found, masker),
        policy=policy.label,
    )
    return cleared, masker.kinds("refuse")


def _flags(found: Sequence[Concern], masker: Masker) -> tuple[str, ...]:
    dropped = {f"withheld:source:{c.piece.source}" for c in found if c.action == "drop"}
    return tuple(sorted({c.flag for c in found} | dropped | {f"personal_data:{kind}" for kind in masker.kinds("flag")}))


def _masked_source(source: Source, masker: Masker) -> Source:
    return Source(
        number=source.number,
        document_id=masker.mask(source.document_id),
        title=None if source.title is None else masker.mask(source.title),
        location=None if source.location is None else masker.mask(source.location),
        score=source.score,
    )


def _masked_parameters(parameters: Parameters, masker: Masker) -> Parameters:
    """Stop strings and a JSON schema are the upstream's text as well."""
    masked = parameters
    if parameters.stop:
        masked = masked.model_copy(update={"stop": tuple(masker.mask(stop) for stop in parameters.stop)})
    if (wanted := parameters.response_format) is not None and wanted.json_schema is not None:
        schema = masker.mask_json(wanted.json_schema)
        masked = masked.model_copy(update={"response_format": wanted.model_copy(update={"json_schema": schema})})
    return masked


def _texts(event: PromptGrounded) -> Iterator[str]:
    """Everything that goes past the gate and was written by somebody else."""
    yield from (message.content for message in event.messages)
    yield from (
        text for source in event.sources for text in (source.document_id, source.title, source.location) if text
    )
    yield event.model_dump_json(include={"metadata", "parameters", "model"})
