"""The gateway by HTTP, as any OpenAI client would: asks, and hands text on as it comes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

from services.console.adapters.connection import GatewayAddress
from services.console.domain.errors import ConsoleError

OnText = Callable[[str], None]
_PATIENCE = httpx.Timeout(10.0, read=180.0)
"""Seconds: the gateway itself gives a prompt up before that."""


class Answer(BaseModel):
    """An answer with what came beside it. Times in milliseconds from the request's being sent."""

    model_config = ConfigDict(frozen=True)

    text: str
    refusal: str | None
    finish_reason: str | None
    model: str | None
    usage: dict[str, Any] | None
    tailrace: dict[str, Any]
    """Prompt id, conversation id, status, sources, masked, timings."""
    first_text_ms: float | None
    answer_ms: float


class RefusedError(ConsoleError):
    """The gateway's own error: its code, and its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Gateway:
    """One gateway."""

    def __init__(self, address: GatewayAddress) -> None:
        headers = {"authorization": f"Bearer {address.api_key}"}
        self._url = address.url
        self._client = httpx.Client(base_url=address.url, headers=headers, timeout=_PATIENCE, trust_env=False)
        self._model: str | None = None

    def ask(
        self,
        question: str,
        *,
        tailrace: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        stream: bool = True,
        on_text: OnText = lambda _: None,
    ) -> Answer:
        """The answer. Raises RefusedError, and ConsoleError where the gateway cannot be reached."""
        body: dict[str, Any] = {
            "model": self._default_model(),
            "messages": [{"role": "user", "content": question}],
            "tailrace": tailrace,
            **(parameters or {}),
        }
        gathered = _Gathered(on_text)
        with self._said_plainly():
            if not stream:
                gathered.whole(checked(self._client.post("/v1/chat/completions", json=body)).json())
                return gathered.answer()
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.is_error:
                    response.read()
                for event in _events(checked(response)):
                    gathered.chunk(event)
        return gathered.answer()

    def _default_model(self) -> str:
        if self._model is None:
            with self._said_plainly():
                self._model = str(checked(self._client.get("/v1/models")).json()["data"][0]["id"])
        return self._model

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise ConsoleError(
                f"the gateway at {self._url} does not answer: {str(error) or type(error).__name__}"
            ) from error

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()


class _Gathered:
    """What has come of one answer so far."""

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self._sent = time.perf_counter()
        self._first: float | None = None
        self._parts: list[str] = []
        self._known: dict[str, Any] = {
            "refusal": None,
            "finish_reason": None,
            "model": None,
            "usage": None,
            "tailrace": {},
        }

    def whole(self, completion: dict[str, Any]) -> None:
        choice = completion["choices"][0]
        self._text(choice["message"]["content"] or "")
        self._note(completion, choice, choice["message"])

    def chunk(self, chunk: dict[str, Any]) -> None:
        if "error" in chunk:
            raise RefusedError(str(chunk["error"]["code"]), str(chunk["error"]["message"]))
        choice = chunk["choices"][0] if chunk["choices"] else {"delta": {}}
        self._text(choice["delta"].get("content") or "")
        self._note(chunk, choice, choice["delta"])

    def _text(self, text: str) -> None:
        if text:
            self._first = self._first or self._elapsed()
            self._parts.append(text)
            self._on_text(text)

    def _note(self, body: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> None:
        told = {
            "refusal": message.get("refusal"),
            "finish_reason": choice.get("finish_reason"),
            "model": body.get("model"),
            "usage": body.get("usage"),
            "tailrace": body.get("tailrace"),
        }
        self._known |= {name: value for name, value in told.items() if value}

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._sent) * 1000, 1)

    def answer(self) -> Answer:
        """Where the pieces do not add up to the final text, the final text counts."""
        text = self._known["tailrace"].get("text") or "".join(self._parts)
        return Answer(text=text, first_text_ms=self._first, answer_ms=self._elapsed(), **self._known)


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is no error. Raises RefusedError, ConsoleError."""
    if not response.is_error:
        return response
    try:
        error = response.json()["error"]
        raise RefusedError(str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        raise ConsoleError(f"the gateway answered {response.status_code} without saying why") from None


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
