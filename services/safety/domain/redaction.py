"""Redaction: personal data that the model wrote of its own accord becomes a marker such as `<EMAIL_ADDRESS>`.

The marker has no number and is never restored, so a window of a stream and the whole answer come out alike. Knows
nothing of the prompt: its placeholders stay as they are.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from pydantic import JsonValue

from libs.personal_data import EntityType, Find, Finding, marker, replaced
from services.safety.domain.policy import AnswerPersonalDataRules, EntityAction

_CLOSED = re.compile(r"(?:[.!?:;)\]\"']\s?|\n)\Z")
_PERHAPS_CUT = re.compile(
    r"(?:<[A-Z0-9_]{0,40}|[^\s@]{1,64}@[^\s@]{0,64}|\+?[0-9][0-9 .\-/()]{4,40}|(?=\S{0,64}[0-9])[A-Za-z0-9_\-+/=]{12,}|://\S{0,64})\s?\Z"
)


@dataclass(slots=True)
class Redactor:
    """One answer's redaction: `seen` counts every kind found, whatever the rules say of it."""

    find: Find
    rules: AnswerPersonalDataRules
    seen: Counter[EntityType] = field(default_factory=Counter)

    def redact(self, text: str) -> str:
        """The text with markers. Raises Unmaskable."""
        return replaced(text, self._unwanted, _marked)

    def redact_json(self, text: str) -> str:
        """As `redact`, and what was JSON stays JSON: a number that is redacted becomes a string."""
        redacted = self.redact(text)
        if redacted == text or _parsed(text) is None or _parsed(redacted) is not None:
            return redacted
        return json.dumps(self._redact_value(_parsed(text)), ensure_ascii=False)

    def redact_window(self, preceding: str, text: str) -> str | None:
        """A stream's window, judged with what stood before it. None: withhold it, a value lies across its edge."""
        border = len(preceding)
        if self._cut_at(preceding + text, border) or _may_end_inside_a_value(text):
            return None

        def inside(window: str) -> list[Finding]:
            found = [f for f in self._unwanted(preceding + window) if f.start >= border]
            return [Finding(f.start - border, f.end - border, f.entity_type) for f in found]

        return replaced(text, inside, _marked)

    def kinds(self, action: EntityAction) -> list[EntityType]:
        """The kinds seen for which the rules say `action`, sorted."""
        return sorted(kind for kind in self.seen if self.rules.action(kind) == action)

    def _unwanted(self, text: str) -> list[Finding]:
        findings = self.find(text)
        self.seen.update(finding.entity_type for finding in findings)
        return [finding for finding in findings if self.rules.action(finding.entity_type) in ("mask", "refuse")]

    def _cut_at(self, text: str, border: int) -> bool:
        return any(finding.start < border < finding.end for finding in self.find(text))

    def _redact_value(self, value: JsonValue) -> JsonValue:
        if isinstance(value, dict):
            return {self.redact(name): self._redact_value(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._redact_value(item) for item in value]
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, bool) or value is None:
            return value
        written = self.redact(json.dumps(value))
        return value if written == json.dumps(value) else written


def _marked(finding: Finding, _: str) -> str:
    return marker(finding.entity_type)


def _may_end_inside_a_value(text: str) -> bool:
    return _CLOSED.search(text[-4:]) is None and _PERHAPS_CUT.search(text[-96:]) is not None


def _parsed(text: str) -> JsonValue:
    """The JSON value, None where there is none (or where it is null: then nothing is redacted either)."""
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return None
    return value
