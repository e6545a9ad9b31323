"""The desk: who is told what, and that nothing is kept of those who have left."""

import pytest

from schemas.responses import Reply
from services.gateway.domain import CallerGone, Desk, DeskClosed, DeskFull, SameIdInUse, Streamed, Ticket, derived_id
from tests.unit.gateway.parts import outcome_of

ME = ("default", "p")


def text(index: int, content: str) -> Reply:
    return Reply(kind="text", prompt_id="p", tenant="default", index=index, text=content)


def outcome() -> Reply:
    return Reply(kind="outcome", prompt_id="p", tenant="default", outcome=outcome_of())


async def items(ticket: Ticket) -> list[object]:
    """What waits for the ticket now."""
    found: list[object] = []
    while True:
        try:
            found.append(await ticket.next(0))
        except TimeoutError:
            return found


async def test_texts_come_in_order_and_once() -> None:
    desk = Desk(9)
    ticket = desk.open(ME, "same")
    for reply in (text(0, "a"), text(0, "a"), text(2, "c"), text(1, "b"), text(2, "c"), text(9, "x"), outcome()):
        desk.deliver(reply)
    assert await items(ticket) == ["a", "b", "c", outcome_of()]


async def test_who_joins_late_gets_what_came_before() -> None:
    desk = Desk(9)
    first = desk.open(ME, "same")
    desk.deliver(text(0, "a"))
    second = desk.open(ME, "same")
    desk.deliver(text(1, "b"))
    assert (first.first, second.first) == (True, False)
    assert await items(first) == await items(second) == ["a", "b"]


async def test_only_the_last_to_leave_before_the_outcome_abandons_the_prompt() -> None:
    desk = Desk(9)
    one, two = desk.open(ME, "same"), desk.open(ME, "same")
    assert one.close() is False
    assert two.close() is True
    assert two.close() is False
    assert desk.waiting == 0


async def test_after_the_outcome_nobody_abandons_anything() -> None:
    desk = Desk(9)
    ticket = desk.open(ME, "same")
    desk.deliver(outcome())
    assert desk.waiting == 0
    assert ticket.close() is False


async def test_replies_of_other_tenants_and_of_nobody_are_dropped() -> None:
    desk = Desk(9)
    ticket = desk.open(("acme", "p"), "same")
    desk.deliver(text(0, "a"))
    desk.deliver(outcome())
    assert await items(ticket) == []


async def test_the_same_id_for_something_else_is_refused() -> None:
    desk = Desk(9)
    desk.open(ME, "one")
    with pytest.raises(SameIdInUse):
        desk.open(ME, "another")
    assert desk.waiting == 1


async def test_a_full_desk_lets_nobody_in() -> None:
    desk = Desk(1)
    ticket = desk.open(ME, "same")
    with pytest.raises(DeskFull):
        desk.open(ME, "same")
    ticket.close()
    assert desk.open(ME, "same").first


async def test_a_closed_desk_sends_everyone_away() -> None:
    desk = Desk(9)
    ticket = desk.open(ME, "same")
    desk.close()
    with pytest.raises(DeskClosed):
        await ticket.next(1)
    with pytest.raises(DeskClosed):
        desk.open(ME, "same")


async def test_who_joined_hears_that_publishing_failed() -> None:
    desk = Desk(9)
    desk.open(ME, "same")
    second = desk.open(ME, "same")
    desk.fail(ME, LookupError("no broker"))
    with pytest.raises(LookupError):
        await second.next(1)


async def test_a_caller_who_leaves_wakes_whoever_waits_for_him() -> None:
    ticket = Desk(9).open(ME, "same")
    ticket.leave()
    with pytest.raises(CallerGone):
        await ticket.next(1)


@pytest.mark.parametrize(
    ("sent", "whole", "rest"),
    [
        ([], "all of it", "all of it"),
        (["all "], "all of it", "of it"),
        (["all ", "of it"], "all of it", ""),
        (["all of it \n"], "all of it", ""),
        (["all of it"], "all", None),
        (["none"], "all of it", None),
    ],
)
def test_the_outcome_adds_what_was_not_sent(sent: list[str], whole: str, rest: str | None) -> None:
    streamed = Streamed()
    for part in sent:
        streamed.add(part)
    assert streamed.rest_of(whole) == rest


def test_a_derived_id_is_an_identifier_of_its_own() -> None:
    made = derived_id("prompt", "default", "k" * 255)
    assert made == derived_id("prompt", "default", "k" * 255)
    assert made != derived_id("prompt", "other", "k" * 255)
    assert len(made) <= 128
