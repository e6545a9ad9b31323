"""One decision for several texts: a value found in any of them is masked in all of them.

Made for texts of which some went through the gate and hold its placeholders, while others are new. What the gate sealed
is not known here, so a new value gets a marker without a number (`<EMAIL_ADDRESS>`), as in answers. Knows no policy.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from libs.personal_data._findings import EntityType, Finding, merged, outside
from libs.personal_data._known import Known
from libs.personal_data._placeholders import kept_of, lookalikes_in, marker, placeholders_in, without_lookalikes
from libs.personal_data._replacing import ROUNDS, Find, Unmaskable, substituted
from libs.personal_data._text import Plain


@dataclass(frozen=True, slots=True)
class MaskedTogether:
    """The texts in the order they were given in, and how many different values of each kind were masked."""

    texts: tuple[str, ...]
    already: tuple[str, ...]
    counts: dict[EntityType, int]


def mask_together(find: Find, texts: Sequence[str], already: Sequence[str] = ()) -> MaskedTogether:
    """All texts with one decision. Raises Unmaskable where values overlap so deeply that it was made up to confuse.

    `already`: texts that were masked before; their placeholders stay. `texts`: new ones; what looks like a placeholder
    stays only if it is one of `already`'s, else it becomes a marker. Masking the result again changes nothing, and the
    order of the texts does not matter. Linear in the texts. Give them in one normal form (NFC).
    """
    decision = _Decision(find, kept_of(already))
    old, new = tuple(already), tuple(texts)
    for _ in range(ROUNDS):
        decision.learn(old, new)
        masked_old = tuple(map(decision.mask_old, old))
        masked_new = tuple(map(decision.mask_new, new))
        if (masked_old, masked_new) == (old, new):
            return MaskedTogether(new, old, dict(Counter(decision.known.kinds)))
        old, new = masked_old, masked_new
    raise Unmaskable(f"values still overlap after {ROUNDS} rounds of masking")


class _Decision:
    """What is known of the values so far. `kept`: the placeholders that new texts may hold."""

    def __init__(self, find: Find, kept: frozenset[str]) -> None:
        # Learning and masking search the same texts; searching is what costs.
        self._find, self._kept, self.known = cache(find), kept, Known()

    def learn(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Whatever a detector finds in any of the texts."""
        for text in (*old, *new):
            for finding in self._find(text):
                self.known.learn(text[finding.start : finding.end], finding.entity_type)
        for text in new:
            rest = without_lookalikes(text)
            for finding in _cut(rest, self._find(rest.text)):
                self.known.learn(rest.text[finding.start : finding.end], finding.entity_type)

    def mask_old(self, text: str) -> str:
        """Placeholders stay, even in the middle of a value."""
        return _marked(text, outside(merged(self._values_in(text)), placeholders_in(text)))

    def mask_new(self, text: str) -> str:
        """A placeholder in the middle of a value goes with it; one that nobody gave out becomes a marker."""
        rest = without_lookalikes(text)
        cut = _cut(rest, self._values_in(rest.text))
        whole = (Finding(*rest.span(finding.start, finding.end), finding.entity_type) for finding in cut)
        strange = (p for p in lookalikes_in(text) if text[p.start : p.end] not in self._kept)
        return _marked(text, merged([*self._values_in(text), *whole, *strange]))

    def _values_in(self, text: str) -> Iterator[Finding]:
        yield from self.known.find(text)
        for finding in self._find(text):
            kind = self.known.kind_of(text[finding.start : finding.end], finding.entity_type)
            yield Finding(finding.start, finding.end, kind)


def _cut(rest: Plain, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Those in the middle of which something was left out."""
    if rest.origins is None:
        return
    for finding in findings:
        start, end = rest.span(finding.start, finding.end)
        if end - start > finding.end - finding.start:
            yield finding


def _marked(text: str, findings: Iterable[Finding]) -> str:
    return substituted(text, findings, lambda finding, _: marker(finding.entity_type))
