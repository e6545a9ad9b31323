"""The in-flight window under random schedules: order per key, bounded slots, no item lost."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.bus import KeyedWindow

LIMIT = 6
KEYS = st.sampled_from("abc")


class AnySchedule(RuleBasedStateMachine):
    """Admits, finishes and abandons items as a stage does."""

    def __init__(self) -> None:
        super().__init__()
        self.window: KeyedWindow[tuple[str, int]] = KeyedWindow({"lane": LIMIT})
        self.running: dict[str, tuple[str, int]] = {}
        self.queued: list[tuple[str, int]] = []
        self.order: dict[str, list[int]] = {key: [] for key in "abc"}
        self.number = 0

    @precondition(lambda self: self.window.has_room("lane"))
    @rule(key=KEYS)
    def admit(self, key: str) -> None:
        item = (key, self.number)
        self.number += 1
        self.window.take_slot("lane")
        if self.window.queue_behind(key, item):
            assert key in self.running
            self.queued.append(item)
            return
        assert key not in self.running
        self.window.occupy(key)
        self.start(item)

    def start(self, item: tuple[str, int]) -> None:
        self.running[item[0]] = item
        self.order[item[0]].append(item[1])

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[key]
        self.window.free_slot("lane")
        following = self.window.next(key)
        expected = next((item for item in self.queued if item[0] == key), None)
        assert following == expected
        if following is not None:
            self.queued.remove(following)
            self.start(following)

    @rule(key=KEYS)
    def abandon_what_is_queued(self, key: str) -> None:
        taken = self.window.abandon(lambda item: item[0] == key)
        assert taken == [item for item in self.queued if item[0] == key]
        self.queued = [item for item in self.queued if item[0] != key]
        for _ in taken:
            self.window.free_slot("lane")

    @invariant()
    def slots_are_those_of_what_runs_and_what_is_queued(self) -> None:
        assert self.window.in_flight == len(self.running) + len(self.queued) <= LIMIT
        assert self.window.has_room("lane") == (self.window.in_flight < LIMIT)

    @invariant()
    def each_key_runs_in_order(self) -> None:
        assert all(order == sorted(order) for order in self.order.values())

    def teardown(self) -> None:
        while self.running:
            key, item = next(iter(self.running.items()))
            del self.running[key]
            self.window.free_slot("lane")
            if (following := self.window.next(key)) is not None:
                self.queued.remove(following)
                self.running[key] = following
            assert item[0] == key
        assert not self.queued
        assert self.window.in_flight == 0


TestAnySchedule = AnySchedule.TestCase


def test_a_busy_key_cannot_be_occupied_again() -> None:
    window: KeyedWindow[int] = KeyedWindow({"lane": 1})
    window.occupy("a")
    with pytest.raises(ValueError, match="busy"):
        window.occupy("a")


def test_more_slots_cannot_be_freed_than_were_taken() -> None:
    window: KeyedWindow[int] = KeyedWindow({"lane": 1})
    with pytest.raises(ValueError, match="no slot"):
        window.free_slot("lane")
