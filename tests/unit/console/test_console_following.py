"""Several things are followed at once: the first that ends, ends all."""

import asyncio

import pytest

from services.console.handlers.following import first_failure


async def for_ever() -> None:
    await asyncio.Event().wait()


async def swallowing_one_cancellation() -> None:
    try:
        await for_ever()
    except asyncio.CancelledError:
        await for_ever()


async def failing() -> None:
    raise ValueError("the broker is away")


async def test_the_first_that_fails_ends_all_and_is_told() -> None:
    other = asyncio.create_task(for_ever())
    with pytest.raises(ValueError, match="the broker is away"):
        await first_failure(other, asyncio.create_task(failing()))
    assert other.cancelled()


async def test_a_task_that_swallows_a_cancellation_holds_nobody_up() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="the broker is away"):
            await first_failure(*map(asyncio.create_task, (swallowing_one_cancellation(), failing())), patience=0.01)


async def test_who_is_cancelled_meanwhile_leaves_none_of_them_behind() -> None:
    task = asyncio.create_task(swallowing_one_cancellation())
    following = asyncio.create_task(first_failure(task, patience=0.01))
    await asyncio.sleep(0)
    following.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await following
    assert task.cancelled()
