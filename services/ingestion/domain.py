"""The rules of the door: which text passes and in what form, which limits hold, what makes two prompts the same.

Knows no Kafka and no tokenizer.
"""

import hashlib
import unicodedata
from dataclasses import dataclass

from libs.json_schema import UnusableSchema, check_schema
from schemas.base import Message, Parameters, ReasonCode
from schemas.prompts import PromptSubmitted

_KEPT_CONTROLS = "\n\t"
# Zero-width and directional marks carry meaning in several scripts and in emoji, so they stay; these never do.
_NEVER = {"\ufeff", "\ufffe", "\uffff"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a prompt or document may be at most."""

    characters: int
    prompt_tokens: int
    completion_tokens: int
    document_bytes: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was turned down."""

    code: ReasonCode
    message: str


def clean_text(text: str) -> str:
    """NFC, line ends as line feeds, control characters out (tabs and line feeds stay)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        text = "".join(c for c in text if _stays(c))
    return unicodedata.normalize("NFC", text)


def _stays(character: str) -> bool:
    return character in _KEPT_CONTROLS or (unicodedata.category(character) != "Cc" and character not in _NEVER)


def clean_messages(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with cleaned text."""
    return tuple(Message(role=m.role, content=clean_text(m.content)) for m in messages)


def too_long(messages: tuple[Message, ...], limits: Limits) -> Refusal | None:
    """Checks the cheap limit first, so that nobody makes us tokenize megabytes."""
    characters = sum(len(m.content) for m in messages)
    if characters > limits.characters:
        return Refusal(
            "too_long",
            f'"messages" hold {characters} characters, the limit is {limits.characters}; shorten or split them',
        )
    return None


def too_many_tokens(tokens: int, limits: Limits) -> Refusal | None:
    """Checks the model's own measure."""
    if tokens > limits.prompt_tokens:
        return Refusal(
            "too_long", f'"messages" are {tokens} tokens, the limit is {limits.prompt_tokens}; shorten or split them'
        )
    return None


def unanswerable(messages: tuple[Message, ...], wanted_tokens: int | None, limits: Limits) -> Refusal | None:
    """What no model could make sense of, or was never offered."""
    if not messages[-1].content.strip():
        return Refusal("invalid_request", 'the last of "messages" is empty once control characters are removed')
    if wanted_tokens is not None and wanted_tokens > limits.completion_tokens:
        return Refusal(
            "invalid_request",
            f'"parameters.max_completion_tokens" is {wanted_tokens}, the limit is {limits.completion_tokens}',
        )
    return None


def unusable_schema(parameters: Parameters) -> Refusal | None:
    """A JSON Schema that could stall whoever applies it to an answer, or that is none."""
    schema = parameters.response_format.schema_object if parameters.response_format is not None else None
    if schema is None:
        return None
    try:
        check_schema(schema)
    except UnusableSchema as error:
        return Refusal("invalid_request", f'"parameters.response_format": the JSON Schema cannot be used: {error}')
    return None


def fingerprint(prompt: PromptSubmitted) -> str:
    """SHA-256 over what was asked, without ids and deadline: the same question again has the same one."""
    asked = prompt.model_dump_json(exclude={"prompt_id", "tenant", "deadline", "metadata", "stream"})
    return hashlib.sha256(asked.encode()).hexdigest()


def document_version(media_type: str, title: str | None, content: str) -> str:
    """SHA-256 over what is indexed: an unchanged document has the same one."""
    return hashlib.sha256("\x00".join((media_type, title or "", content)).encode()).hexdigest()
