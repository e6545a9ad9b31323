"""Whatever way prompts of many conversations are mixed, repeated and redone: a sound log stays sound."""

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.audit import check_records
from schemas.base import Lane
from tests.support.audit_log import Asked, Log, steps

CONVERSATIONS = st.sampled_from([None, "c-1", "c-2"])
ENDS = st.sampled_from(["answered", "answered", "refused", "failed"])


@st.composite
def prompts(draw: st.DrawFn) -> list[Asked]:
    """Prompts of a few conversations on both lanes."""
    return [
        Asked(
            f"p-{number}",
            tenant=draw(st.sampled_from(["default", "acme"])),
            conversation=draw(CONVERSATIONS),
            ends=draw(ENDS),
            lane=draw(st.sampled_from(list(Lane))),
            partition=draw(st.integers(0, 1)),
        )
        for number in range(draw(st.integers(1, 8)))
    ]


def queues(asked: list[Asked]) -> dict[object, list[Asked]]:
    """One prompt of a conversation goes its way at a time; conversations do not wait for one another."""
    found: dict[object, list[Asked]] = {}
    for one in asked:
        found.setdefault((one.lane, one.partition, one.conversation or one.prompt_id), []).append(one)
    return found


@settings(max_examples=60)
@given(prompts(), st.data())
def test_a_sound_interleaving_has_no_findings(asked: list[Asked], data: st.DataObject) -> None:
    log = Log()
    waiting = queues(asked)
    under_way = {key: steps(log, of.pop(0)) for key, of in waiting.items()}
    while under_way:
        key = data.draw(st.sampled_from(list(under_way)))
        record = next(under_way[key], None)
        if record is None:
            if waiting[key]:
                under_way[key] = steps(log, waiting[key].pop(0))
            else:
                del under_way[key]
        elif data.draw(st.integers(0, 4)) == 0:
            log.again(record)
    report = check_records(log.records)
    assert report.findings == ()
    assert report.prompts.judged == len(asked)


@settings(max_examples=30)
@given(prompts(), st.data())
def test_one_lost_outcome_among_many_is_found_and_nothing_else(asked: list[Asked], data: st.DataObject) -> None:
    log = Log()
    for one in asked:
        list(steps(log, one))
    outcomes = [record for record in log.records if record.topic.startswith("response-ready")]
    log.drop(data.draw(st.sampled_from(outcomes)))
    report = check_records(log.records)
    assert [finding.kind for finding in report.findings] == ["lost"]
