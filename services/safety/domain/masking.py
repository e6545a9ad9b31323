"""Masking: each value gets a numbered placeholder, the same one wherever it stands in a prompt.

`Masker` serves one prompt. Restoring is putting `mapping`'s values back for their placeholders, which is another
service's part: this one only ever seals the mapping.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from libs.personal_data import GUESSES, EntityType, Find, Finding, blank_out, numbered, replaced, without_overlaps
from services.safety.domain.policy import PersonalDataRules

_MOST_KNOWN = 64
"""Values looked for by heart; a bound keeps the cost linear in the text."""


class Masker:
    """The placeholders of one prompt. `taken`: those that stand in its text already; none of them is given out."""

    def __init__(self, find: Find, rules: PersonalDataRules, taken: Iterable[str] = ()) -> None:
        self._find, self._rules, self._taken = find, rules, frozenset(taken)
        self._given: dict[tuple[EntityType, str], str] = {}
        self._last: Counter[EntityType] = Counter()
        self.found: set[EntityType] = set()
        """Every kind seen, whatever the policy says of it."""
        self._read: dict[str, Sequence[Finding]] = {}
        self._known: dict[str, EntityType] = {}
        self._by_heart: re.Pattern[str] | None = None

    def learn(self, texts: Iterable[str]) -> None:
        """Reads all texts of the prompt first: a value that one place gives away is then known in every other.

        `password: x1y2z3` in one message makes `x1y2z3` a password in the next.
        """
        found = {text[f.start : f.end]: f.entity_type for text in texts for f in self._unwanted(text)}
        # Those that only a neighbouring word gave away come first: elsewhere nothing else would find them.
        likely_missed = sorted(found.items(), key=lambda item: item[1] not in GUESSES)
        self._known = dict(likely_missed[:_MOST_KNOWN])
        longest_first = sorted(map(re.escape, self._known), key=len, reverse=True)
        self._by_heart = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)") if longest_first else None

    def mask(self, text: str) -> str:
        """The text with a placeholder for each value that policy does not let pass. Raises Unmaskable."""
        return replaced(text, self._unwanted, lambda finding, value: self._placeholder(finding.entity_type, value))

    def mask_json(self, value: JsonValue) -> JsonValue:
        """The same over every string of a JSON value, names of members included."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self.mask_json(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(name): self.mask_json(item) for name, item in value.items()}
        return value

    def kinds(self, action: str) -> list[EntityType]:
        """The kinds seen for which policy says `action`, sorted."""
        return sorted(kind for kind in self.found if self._rules.action(kind) == action)

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind were masked."""
        return dict(Counter(entity_type for entity_type, _ in self._given))

    @property
    def restorable(self) -> Mapping[str, str]:
        """{placeholder: value} of the values that policy lets come back."""
        return {name: value for (kind, value), name in self._given.items() if self._rules.restorable(kind)}

    def _unwanted(self, text: str) -> list[Finding]:
        if (findings := self._read.get(text)) is None:
            # Learning and masking search the same texts; searching is what costs.
            findings = self._read[text] = self._find(text)
        if self._by_heart is not None:
            findings = without_overlaps([*findings, *self._known_in(text)])
        self.found.update(finding.entity_type for finding in findings)
        return [finding for finding in findings if self._rules.action(finding.entity_type) in ("mask", "refuse")]

    def _known_in(self, text: str) -> list[Finding]:
        matches = self._by_heart.finditer(blank_out(text)) if self._by_heart else ()
        return [Finding(*match.span(), self._known[match.group()]) for match in matches]

    def _placeholder(self, entity_type: EntityType, value: str) -> str:
        if (given := self._given.get((entity_type, value))) is not None:
            return given
        self._last[entity_type] += 1
        while (placeholder := numbered(entity_type, self._last[entity_type])) in self._taken:
            self._last[entity_type] += 1
        self._given[entity_type, value] = placeholder
        return placeholder
