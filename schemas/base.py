"""What all events are made of: frozen past-tense facts with a type, a version and a record key.

Ids, times, sources and trace context travel in the record's CloudEvents headers, not in the body, so a body
says only what happened. Knows no Kafka: `libs.bus` puts these on the wire.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""An id an upstream may choose: 1 to 128 characters."""
ArtefactName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
"""What somebody who asks may call a data set or an adapter. Refusals quote it, so it is a name and no text."""
TenantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Lane(StrEnum):
    """The two lanes of the prompt path. Batch work takes only what real-time work leaves."""

    REAL_TIME = "real-time"
    BATCH = "batch"


class Model(BaseModel):
    """A frozen value inside an event. Readers ignore fields they do not know, so that events can grow."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Model):
    """A fact on the bus. `TYPE` names it, `VERSION` goes up on a breaking change."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @classmethod
    def ce_type(cls) -> str:
        """The CloudEvents type, e.g. `tailrace.prompt-accepted.v1`."""
        return f"tailrace.{cls.TYPE}.v{cls.VERSION}"

    @property
    def key(self) -> str:
        """The Kafka record key: what must keep its order."""
        raise TypeError(f"{type(self).__name__} does not say what its record key is")


class Message(Model):
    """One chat message, as OpenAI writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class ResponseFormat(Model):
    """OpenAI's `response_format`. `json_schema` is required for, and only for, the type of that name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: dict[str, JsonValue] | None = None
    """OpenAI's wrapper: `{"name", "schema", "strict"}`."""

    @model_validator(mode="after")
    def _schema_goes_with_its_type(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError('"json_schema" belongs to, and is required by, type "json_schema"')
        if self.json_schema is not None and not isinstance(self.json_schema.get("schema"), dict):
            raise ValueError('"json_schema" needs an object "schema" holding the JSON Schema itself')
        return self

    @property
    def schema_object(self) -> dict[str, Any] | None:
        """The JSON Schema the output must satisfy, if one was given."""
        schema = (self.json_schema or {}).get("schema")
        return schema if isinstance(schema, dict) else None


def _or_one_string(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string", "minLength": 1, "maxLength": 256})


class Parameters(Model):
    """Sampling parameters under OpenAI's names. None: the service's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...] | None = Field(
        default=None, max_length=4, json_schema_extra=_or_one_string
    )
    """A single string stands for a list of one."""
    response_format: ResponseFormat | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON."""
        return self.response_format is not None and self.response_format.type != "text"


class Usage(Model):
    """Tokens read and written, as the engine counted them."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class ModelUsed(Model):
    """Which weights wrote an answer, and which data made them so."""

    name: str
    adapter: str | None = None
    version: str | None = None
    dataset: str | None = None
    """The data set that the adapter was trained on."""


ReasonCode = Literal[
    "invalid_request",
    "too_long",
    "unsafe_prompt",
    "unsafe_answer",
    "no_source",
    "deadline_exceeded",
    "engine_unavailable",
    "internal_error",
    "cancelled",
    "unknown_model",
    "unknown_template",
    "invalid_output",
    "idempotency_conflict",
]


class Reason(Model):
    """Why there is no answer: a stable code for programs, a sentence for people, the stage that decided."""

    code: ReasonCode
    message: str
    stage: str


class Shadow(Model):
    """Marks a prompt that runs beside history: asked again to compare, answered on `response-shadow` only.

    The rest says which prompt it is a shadow of, so that it is answered as that one was: same seed, same history.
    """

    run: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
    """The replay it belongs to."""
    prompt_id: Identifier
    conversation_id: Identifier
    submitted_at: AwareDatetime


class PathEvent(Event):
    """What every event between a prompt and its outcome carries along."""

    prompt_id: Identifier
    tenant: TenantName
    conversation_id: Identifier
    reply_to: int | None = Field(default=None, ge=0)
    """Partition of the topic `reply` that wants streamed text and a copy of the outcome."""
    shadow: Shadow | None = None
    """None: a prompt in its own right."""
    deadline: datetime | None = None
    submitted_at: datetime
    """When the prompt's record was written (the broker's time stamp)."""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """Milliseconds spent in each stage so far. The delivery core adds to it; handlers leave it alone."""

    @property
    def key(self) -> str:
        """A conversation keeps its order."""
        return self.conversation_id

    @property
    def identity(self) -> tuple[str, str]:
        """The idempotency key: tenant and the upstream's own prompt id."""
        return (self.tenant, self.prompt_id)

    def carried(self) -> dict[str, Any]:
        """The fields to hand on to the next event of the path: `PromptCleared(**event.carried(), ...)`."""
        return {name: getattr(self, name) for name in PathEvent.model_fields}
