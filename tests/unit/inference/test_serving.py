"""What serves, by promotions and rollbacks: the same whatever order they come in, sticky, and monotone in the share."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.evaluation import ModelPromoted, ModelRolledBack
from services.inference.domain.serving import Begun, Challenger, Change, WhatServes, choices, later, place, wanted

AT = datetime(2026, 1, 1, tzinfo=UTC)
ADAPTERS = st.sampled_from(["dpo-1", "dpo-2", "kto-3", "sft-4"])


def promoted(revision: int, model: str, share: float = 1.0, **rest: Any) -> ModelPromoted:
    return ModelPromoted(
        revision=revision, model=model, share=share, request_id=f"q-{revision}", promoted_at=AT, **rest
    )


def rolled_back(revision: int, rolled: str, model: str | None = None) -> ModelRolledBack:
    return ModelRolledBack(
        revision=revision, model=model, rolled_back=rolled, request_id=f"q-{revision}", rolled_back_at=AT
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """As evaluation writes them: revisions count up, a rollback undoes what was promoted last."""
    found: list[Change] = []
    champion: str | None = None
    stack: list[str | None] = []
    for revision in range(1, draw(st.integers(1, 8)) + 1):
        back: bool = draw(st.booleans())
        if stack and back:
            gone, champion = champion, stack.pop()
            found.append(rolled_back(revision, gone or "dpo-1", champion))
            continue
        model, share = draw(ADAPTERS), draw(st.sampled_from([0.1, 0.5, 1.0]))
        found.append(promoted(revision, model, share, champion=champion if share < 1 else None, previous=champion))
        if share == 1:
            stack.append(champion)
            champion = model
    return found


def heard(changes: list[Change]) -> Change | None:
    found: Change | None = None
    for change in changes:
        found = later(found, change)
    return found


@settings(max_examples=60)
@given(histories(), st.data())
def test_any_order_and_any_repetition_of_a_history_leads_to_its_last_word(
    history: list[Change], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=6))
    shuffled = data.draw(st.permutations([*history, *again]))
    assert heard(list(shuffled)) == heard(history) == history[-1]
    assert wanted(heard(list(shuffled))).revision == len(history)


def test_each_change_says_what_serves() -> None:
    assert wanted(None) == WhatServes()
    assert wanted(promoted(3, "dpo-2")) == WhatServes("dpo-2", revision=3)
    tried = promoted(4, "kto-3", 0.25, champion="dpo-2")
    assert wanted(tried) == WhatServes("dpo-2", Challenger("kto-3", 0.25), 4)
    assert wanted(tried).adapters == {"dpo-2", "kto-3"}
    assert wanted(rolled_back(5, "kto-3", "dpo-2")) == WhatServes("dpo-2", revision=5)
    assert wanted(rolled_back(6, "dpo-2")) == WhatServes(revision=6)


def test_a_rollback_and_a_promotion_of_one_revision_are_told_apart_alike_by_everybody() -> None:
    one, other = promoted(2, "dpo-1"), rolled_back(2, "dpo-2")
    assert later(one, other) == later(other, one) == other


@settings(max_examples=60)
@given(st.text(max_size=20), st.text(max_size=20), ADAPTERS, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_larger_share_takes_no_conversation_away(
    tenant: str, conversation: str, adapter: str, one: float, other: float
) -> None:
    smaller, larger = sorted([one, other])
    at = [WhatServes("dpo-9", Challenger(adapter, share)) for share in (smaller, larger)]
    first, second = (it.adapter_for(tenant, conversation) for it in at)
    assert first in {"dpo-9", adapter}
    assert (first, second) != (adapter, "dpo-9")
    assert 0 <= place(tenant, conversation, adapter) < 1


def test_a_conversation_stays_with_its_adapter_and_the_share_is_kept_to() -> None:
    serves = WhatServes(None, Challenger("dpo-1", 0.3), 1)
    chosen = [serves.adapter_for("acme", f"c-{n}") for n in range(4000)]
    assert chosen == [serves.adapter_for("acme", f"c-{n}") for n in range(4000)]
    assert 0.27 < chosen.count("dpo-1") / 4000 < 0.33
    assert set(chosen) == {"dpo-1", None}
    # Written down, so that no later version moves conversations: they would meet another model midway.
    assert [n for n in range(16) if chosen[n]] == [4, 7, 12, 14]
    assert [round(place("acme", "c-19", name), 6) for name in ("dpo-1", "kto-2")] == [0.892956, 0.134844]


def test_another_challenger_is_tried_on_other_conversations_and_another_tenants_are_its_own() -> None:
    def tried(tenant: str, adapter: str) -> set[int]:
        return {n for n in range(500) if place(tenant, f"c-{n}", adapter) < 0.2}

    assert len({frozenset(tried(*who)) for who in (("acme", "a"), ("acme", "b"), ("other", "a"))}) == 3


def test_what_cannot_be_had_falls_back_to_what_served_but_never_to_what_was_rolled_back() -> None:
    now = WhatServes("dpo-1", revision=1)
    up = promoted(2, "dpo-2", previous="dpo-1")
    assert choices(up, now) == (WhatServes("dpo-2", revision=2), now, WhatServes("dpo-1"), WhatServes())
    back = rolled_back(3, "dpo-2", "dpo-1")
    assert choices(back, WhatServes("dpo-2", revision=2)) == (WhatServes("dpo-1", revision=3), WhatServes())
    assert choices(back, now) == (WhatServes("dpo-1", revision=3), now, WhatServes())
    assert choices(up, None) == (WhatServes("dpo-2", revision=2), WhatServes("dpo-1"), WhatServes())
    assert choices(None, None) == (WhatServes(),)


def test_a_prompt_that_is_tried_again_keeps_its_adapter_until_it_ends_or_the_adapter_is_lost() -> None:
    begun = Begun(remember=2)
    one, other, third = ("acme", "p1"), ("acme", "p2"), ("acme", "p3")
    assert begun.begin(one, "dpo-1") == begun.begin(one, "dpo-2") == "dpo-1"
    assert begun.begin(other, None) is None
    assert begun.begin(other, "dpo-2") is None
    begun.end(other)
    assert begun.begin(other, "dpo-2") == "dpo-2"
    begun.forget("dpo-1")
    assert begun.begin(one, "dpo-2") == "dpo-2"
    begun.begin(third, None)
    assert begun.begin(other, "dpo-7") == "dpo-7"
