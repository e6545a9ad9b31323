import pytest

from libs.language_models.engine.waiting import WaitingRoom
from schemas.base import Lane


def test_real_time_work_goes_before_batch_work_that_came_first() -> None:
    room: WaitingRoom[str] = WaitingRoom(slots=2)
    room.add("batch", Lane.BATCH)
    room.add("real-time", Lane.REAL_TIME)
    assert [room.next(0), room.next(1)] == ["real-time", "batch"]


def test_batch_work_never_takes_a_reserved_slot() -> None:
    room: WaitingRoom[str] = WaitingRoom(slots=3, reserved=1)
    room.add("batch", Lane.BATCH)
    assert room.next(2) is None
    room.add("real-time", Lane.REAL_TIME)
    assert room.next(2) == "real-time"
    assert room.next(1) == "batch"


def test_nobody_is_called_when_every_slot_is_taken() -> None:
    room: WaitingRoom[str] = WaitingRoom(slots=1)
    room.add("a", Lane.REAL_TIME)
    assert room.next(1) is None
    assert len(room) == 1


def test_within_a_lane_the_first_to_come_is_the_first_served() -> None:
    room: WaitingRoom[int] = WaitingRoom(slots=8)
    for number in range(3):
        room.add(number, Lane.BATCH)
    assert [room.next(0) for _ in range(4)] == [0, 1, 2, None]


def test_who_no_longer_waits_is_taken_out_of_both_lanes() -> None:
    room: WaitingRoom[int] = WaitingRoom(slots=8)
    for number in range(4):
        room.add(number, Lane.BATCH if number % 2 else Lane.REAL_TIME)
    assert room.remove_if(lambda n: n >= 2) == [2, 3]
    assert [room.next(0), room.next(0), room.next(0)] == [0, 1, None]


def test_reserving_every_slot_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 of 2"):
        WaitingRoom[int](slots=2, reserved=2)
