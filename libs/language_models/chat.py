"""A model's chat template: messages in, the prompt's text out.

Templates come from model folders, so they are untrusted code: they run in Jinja's immutable sandbox, on plain
strings. Text inside a message cannot forge the template's control tokens. Knows no tensors.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class ChatMessage(Protocol):
    """Anything with a role and a text, such as `schemas.base.Message`."""

    @property
    def role(self) -> str:
        """`system`, `developer`, `user` or `assistant`."""

    @property
    def content(self) -> str:
        """The message's text."""


class InvalidChat(ValueError):  # noqa: N818 - named after what is wrong
    """The template does not accept these messages; the text says why."""


@dataclass(frozen=True)
class ChatTemplate:
    """Renders messages as the model was taught to read them."""

    source: str
    bos_token: str = ""
    eos_token: str = ""
    control_tokens: tuple[str, ...] = ()
    """Strings the tokenizer turns into control tokens; message text may not contain them verbatim."""

    @classmethod
    def from_folder(cls, folder: Path, control_tokens: Iterable[str] = ()) -> "ChatTemplate":
        """Reads `chat_template.jinja`, or the template inside `tokenizer_config.json`.

        Raises FileNotFoundError when the folder has neither: the model is no chat model.
        """
        config = _read_json(folder / "tokenizer_config.json")
        file = folder / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.exists() else _default_template(config)
        if not source:
            raise FileNotFoundError(
                f"{folder} has no chat template: put a chat_template.jinja there, or use an instruction-tuned model"
            )
        bos, eos = (_token_text(config.get(name)) for name in ("bos_token", "eos_token"))
        return cls(source, bos, eos, tuple(control_tokens))

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> str:
        """The prompt's text, up to where the assistant begins. Raises InvalidChat if the template refuses."""
        try:
            return self._compiled.render(
                messages=[{"role": _role(m.role), "content": self._defused(m.content)} for m in messages],
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except jinja2.TemplateError as error:
            raise InvalidChat(f"the model's chat template refuses these messages: {error.message}") from error

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        return environment.from_string(self.source)

    @cached_property
    def _controls(self) -> re.Pattern[str] | None:
        longest_first = sorted((t for t in self.control_tokens if len(t) > 1), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def _defused(self, text: str) -> str:
        """`<|im_end|>` in a user's text becomes `< |im_end|>`: plain text, not the end of his message."""
        if self._controls is None:
            return text
        return self._controls.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def _role(role: str) -> str:
    # "developer" is OpenAI's newer word for "system"; no open model's template knows it.
    return "system" if role == "developer" else role


def _read_json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _default_template(config: dict[str, Any]) -> str:
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        return str(named.get("default", ""))
    return str(template)


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
