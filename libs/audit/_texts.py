"""Whether two texts are the same answer: placeholders may have been restored, clean-up may have dropped characters.

Needs no key: where a placeholder of the prompt stood, any text may stand. What is kept of a cleared text is masked, and
is a digest wherever nothing in it is free.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

RESTORED = re.compile(r"<[A-Z][A-Z0-9_]{1,40}_[0-9]{1,9}>")
"""Stands for a value of the prompt; the answer has the value in its place."""
REDACTED = re.compile(r"<[A-Z][A-Z_]{1,40}>")
"""Stands for personal data that the model wrote; it is never restored."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_CLOSING_FENCE = re.compile(r"\n(`{3,}|~{3,})\Z")
_FENCED = re.compile(r"\A```[A-Za-z0-9]{0,16}[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_NO_JSON = object()


@dataclass(frozen=True, slots=True)
class ClearedText:
    """What safety let pass."""

    digest: bytes
    text: str | None
    """Masked; None where the digest says it all."""
    json: bool
    cut: bool
    """The length limit ended it: a code fence may have been closed."""


def cleared_text(body: dict[str, Any]) -> ClearedText:
    """Of a `completion-cleared`."""
    text = _text(body)
    is_json = _wants_json(body)
    free = is_json or RESTORED.search(text) is not None or REDACTED.search(text) is not None
    return ClearedText(_digest(_bare(text)), text if free else None, is_json, body.get("finish_reason") == "length")


def generated_agrees(cleared: ClearedText, body: dict[str, Any]) -> bool:
    """Whether the cleared text is that of this `completion-generated`, but for what was redacted."""
    text = _text(body)
    if cleared.text is None:
        return _digest(_bare(text)) == cleared.digest
    if _fits(_bare(cleared.text), _bare(text), REDACTED):
        return True
    return cleared.json and _json_fits(_parsed(cleared.text), _parsed(text), REDACTED)


def answer_agrees(cleared: ClearedText, body: dict[str, Any]) -> bool:
    """Whether an answered `response-ready` says what was cleared."""
    text = _text(body)
    if cleared.json:
        output = body.get("output")
        expected, written = _parsed(_unfenced(cleared.text or "")), _parsed(text)
        return _same(written, output) and _json_fits(expected, output, RESTORED)
    return any(_says(cleared, candidate) for candidate in _candidates(text, cut=cleared.cut))


def _says(cleared: ClearedText, text: str) -> bool:
    if cleared.text is None:
        return _digest(_bare(text)) == cleared.digest
    # A value at an edge may begin or end with white space, or be nothing else.
    return any(_fits(_bare(cleared.text), said, RESTORED) for said in (_bare(text), _CONTROLS.sub("", text)))


def _candidates(text: str, *, cut: bool) -> Sequence[str]:
    return (text, _CLOSING_FENCE.sub("", text)) if cut else (text,)


def _text(body: dict[str, Any]) -> str:
    text = body.get("text")
    return text if isinstance(text, str) else ""


def _wants_json(body: dict[str, Any]) -> bool:
    parameters = body.get("parameters")
    wanted = parameters.get("response_format") if isinstance(parameters, dict) else None
    return isinstance(wanted, dict) and wanted.get("type", "text") != "text"


def _bare(text: str) -> str:
    return _CONTROLS.sub("", text).strip()


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _fits(pattern: str, text: str, free: re.Pattern[str]) -> bool:
    """Whether the text is the pattern with anything in place of what is free. Linear: the leftmost fit is as good."""
    first, *rest = free.split(pattern)
    if not rest:
        return first == text
    if not text.startswith(first):
        return False
    *middle, last = rest
    at = len(first)
    for part in middle:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return text.endswith(last) and at <= len(text) - len(last)


def _json_fits(pattern: Any, value: Any, free: re.Pattern[str]) -> bool:
    if isinstance(pattern, str) and free.search(pattern):
        # A number that was redacted became a string.
        return _fits(pattern, value if isinstance(value, str) else json.dumps(value), free)
    return _alike(pattern, value, lambda one, other: _json_fits(one, other, free))


def _same(one: Any, other: Any) -> bool:
    return _alike(one, other, _same)


def _alike(one: Any, other: Any, inner: Callable[[Any, Any], bool]) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(
            inner(a, b) and inner(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(inner(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _unfenced(text: str) -> str:
    bare = text.strip()
    match = _FENCED.match(bare)
    return match[1].strip() if match else bare


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_JSON
