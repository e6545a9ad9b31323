"""What serves: the champion, and a challenger for a share of the conversations. By the promotions and rollbacks so far.

Both count one revision up, and the highest says what serves, whatever came twice, late or in another order. Pure.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass

from schemas.evaluation import ModelPromoted, ModelRolledBack

Change = ModelPromoted | ModelRolledBack
Identity = tuple[str, str]
"""Tenant and prompt id."""


@dataclass(frozen=True)
class Challenger:
    """An adapter that is tried on a share of the conversations."""

    adapter: str
    share: float
    """Above 0, below 1."""


@dataclass(frozen=True)
class WhatServes:
    """One moment's choice. Without an adapter, the bare base serves."""

    champion: str | None = None
    challenger: Challenger | None = None
    revision: int = 0
    """Of the change that led to it; 0: nothing was ever promoted."""

    @property
    def adapters(self) -> frozenset[str]:
        """All that it takes."""
        found = {self.champion, self.challenger.adapter if self.challenger else None}
        return frozenset(name for name in found if name is not None)

    def adapter_for(self, tenant: str, conversation_id: str) -> str | None:
        """The same for all prompts of a conversation; a larger share adds conversations and takes none away."""
        tried = self.challenger
        if tried is not None and place(tenant, conversation_id, tried.adapter) < tried.share:
            return tried.adapter
        return self.champion


def place(tenant: str, conversation_id: str, adapter: str) -> float:
    """Where in [0, 1) a conversation stands for an adapter. Another adapter meets other conversations first."""
    told = json.dumps([tenant, conversation_id, adapter])
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:6]) / 2**48


def later(one: Change | None, other: Change) -> Change:
    """The one that says what serves."""
    return other if one is None or _rank(other) > _rank(one) else one


def _rank(change: Change) -> tuple[int, bool, str]:
    """Revisions are not given twice; if they were, all instances would still agree, and the rollback would hold."""
    return change.revision, isinstance(change, ModelRolledBack), change.model or ""


def wanted(change: Change | None) -> WhatServes:
    """What serves since then. None: nothing has been promoted yet."""
    if change is None:
        return WhatServes()
    if isinstance(change, ModelRolledBack) or change.share >= 1:
        return WhatServes(change.model, revision=change.revision)
    return WhatServes(change.champion, Challenger(change.model, change.share), change.revision)


def choices(change: Change | None, now: WhatServes | None) -> tuple[WhatServes, ...]:
    """What to serve, the best first, where what is wanted may not be usable: what serves now, what served before.

    What was rolled back never comes back by this way. `now` is None before anything has served here.
    """
    if change is None:
        return (WhatServes(),)
    kept = [] if now is None else [now]
    if isinstance(change, ModelRolledBack):
        return (wanted(change), *(it for it in kept if change.rolled_back not in it.adapters), WhatServes())
    return (wanted(change), *kept, WhatServes(change.previous), WhatServes())


class Begun:
    """With which adapter the prompts under way were begun: one that is tried again stays with it."""

    def __init__(self, *, remember: int = 10_000) -> None:
        self._adapters: OrderedDict[Identity, str | None] = OrderedDict()
        self._remember = remember

    def begin(self, identity: Identity, adapter: str | None) -> str | None:
        """The adapter it was begun with; now, if it was not."""
        found = self._adapters.setdefault(identity, adapter)
        if len(self._adapters) > self._remember:
            self._adapters.popitem(last=False)
        return found

    def end(self, identity: Identity) -> None:
        """It has its outcome, or is to be begun anew. Twice is harmless."""
        self._adapters.pop(identity, None)

    def forget(self, adapter: str) -> None:
        """What was begun with it is begun anew with another: it cannot be used any more."""
        for identity in [it for it, name in self._adapters.items() if name == adapter]:
            del self._adapters[identity]
