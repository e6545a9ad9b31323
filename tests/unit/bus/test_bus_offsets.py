"""The offset tracker against a model that knows everything."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.bus import OffsetTracker


class TrackerAgainstModel(RuleBasedStateMachine):
    """Any order of starts, finishes and refetches."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.seen: list[int] = []
        self.open: set[int] = set()

    @rule(gap=st.integers(0, 3))
    def start_the_next(self, gap: int) -> None:
        offset = (self.seen[-1] + 1 if self.seen else 0) + gap
        assert self.tracker.start(offset)
        self.seen.append(offset)
        self.open.add(offset)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def fetch_again(self, data: st.DataObject) -> None:
        assert not self.tracker.start(data.draw(st.sampled_from(self.seen)))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.tracker.finish(offset)
        self.open.remove(offset)

    @precondition(lambda self: set(self.seen) - self.open)
    @rule(data=st.data())
    def finish_twice(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(set(self.seen) - self.open)))
        before = self.tracker.committable
        try:
            self.tracker.finish(offset)
        except KeyError:
            assert self.tracker.committable == before
        else:
            raise AssertionError("an offset was finished twice")

    @invariant()
    def only_the_contiguous_finished_run_may_be_committed(self) -> None:
        if not self.seen:
            assert self.tracker.committable is None
            return
        committable = self.tracker.committable
        assert committable == (min(self.open) if self.open else self.seen[-1] + 1)
        assert self.tracker.in_flight == len(self.open)


TestTrackerAgainstModel = TrackerAgainstModel.TestCase


@given(st.permutations(range(50)))
def test_the_commit_never_goes_back(order: list[int]) -> None:
    tracker = OffsetTracker()
    for offset in range(50):
        tracker.start(offset)
    commits = []
    for offset in order:
        tracker.finish(offset)
        commits.append(tracker.committable)
    assert commits == sorted(commits, key=lambda offset: offset or 0)
    assert commits[-1] == 50
