"""What becomes of feedback: examples, dead letters with a reason, or nothing yet. On both stores."""

from datetime import timedelta
from typing import Any

import pytest

from libs.bus import Rejected
from schemas.responses import response_id_of
from services.feedback.domain.facts import CaseKey
from tests.unit.feedback.parts import (
    ANSWER,
    NOON,
    QUESTION,
    Arrival,
    Desk,
    answered,
    erasure,
    feedback,
    outcome,
    prompt,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def said(*kinds: Any, offset: int = 7, at: Any = NOON, **fields: Any) -> Arrival:
    return Arrival(feedback(*kinds, **fields), offset, at=at)


async def test_an_example_holds_what_the_model_saw_and_said_and_what_people_said_of_it(desk: Desk) -> None:
    await desk.after(*answered(), said("rating", 4, subject="s-1", consent={"training": True}))
    example = desk.example()
    assert (example.messages[0].content, example.text) == (QUESTION, ANSWER)
    assert (example.conversation_id, example.prompt_id, example.template) == ("c-p-1", "p-1", "answer@1")
    [judgement] = example.judgements
    assert (judgement.kind, judgement.value, judgement.subject, judgement.consent) == ("rating", 4, "s-1", True)


async def test_an_answer_that_nobody_judged_is_no_example(desk: Desk) -> None:
    assert not (await desk.after(*answered())).examples


async def test_text_of_an_outcome_which_is_in_clear_is_in_no_example(desk: Desk) -> None:
    await desk.after(*answered(), said())
    assert b"ada@example.org" not in b"".join(desk.examples.values())


async def test_early_feedback_waits_for_its_answer(desk: Desk) -> None:
    await desk.after(said())
    assert (desk.examples, desk.letters) == ({}, [])
    await desk.after(*answered())
    assert len(desk.example().judgements) == 1


async def test_feedback_of_an_unknown_response_expires_into_a_dead_letter(desk: Desk) -> None:
    await desk.after(said(response_id="resp_nobody"))
    await desk.later(23 * HOUR)
    assert not desk.letters
    await desk.later(HOUR)
    [(offset, reason)] = desk.letters
    assert (offset, reason[:42]) == (7, 'no answer with this "response_id" became k')
    await desk.later(DAY)
    assert len(desk.letters) == 1


async def test_an_expired_letter_holds_the_record_as_it_came(desk: Desk) -> None:
    arrival = said("edit", "Write to eve@example.org.", response_id="resp_nobody")
    await (await desk.after(arrival)).later(25 * HOUR)
    [letter] = desk.bus.records("feedback-submitted-dlq")
    assert (letter.key, letter.value) == (arrival.record.key, arrival.record.value)
    assert dict(letter.headers)["dlq_topic"] == b"feedback-submitted"


async def test_feedback_that_expired_may_be_sent_again(desk: Desk) -> None:
    await (await desk.after(said())).later(25 * HOUR)
    await desk.after(*answered(), said())
    assert len(desk.example().judgements) == 1


async def test_a_response_of_another_tenant_is_unknown(desk: Desk) -> None:
    await desk.after(*answered("globex"), said(tenant="acme", response_id=response_id_of("globex", "p-1")))
    assert not desk.examples
    await desk.later(25 * HOUR)
    assert len(desk.letters) == 1


@pytest.mark.parametrize("status", ["refused", "failed"])
async def test_there_is_nothing_to_judge_where_there_is_no_answer(status: str, desk: Desk) -> None:
    await desk.after(Arrival(outcome(status=status)), said())
    assert desk.letters == [(7, f"the prompt was {status}: there is no answer to judge")]


async def test_feedback_on_an_old_answer_is_told_so_at_once_also_when_the_answer_is_gone(desk: Desk) -> None:
    await desk.after(*answered())
    await desk.later(31 * DAY)
    assert not desk.store.cases([feedback_key()], 10)[0].answers
    await desk.after(said())
    [(_, reason)] = desk.letters
    assert "too old" in reason


async def test_an_edit_that_says_what_the_answer_says_is_told_so_once(desk: Desk) -> None:
    # The person saw the value where the model wrote its placeholder.
    await desk.after(*answered(), said("edit", "  Write to eve@example.org once more.\n"))
    await desk.after(said(feedback_id="f-2", offset=8))
    [(offset, reason)] = desk.letters
    assert (offset, reason[:28]) == (7, "the edit says what the answe")
    assert [judgement.feedback_id for judgement in desk.example().judgements] == ["f-2"]


async def test_a_value_that_one_text_gives_away_is_masked_in_all(desk: Desk) -> None:
    await desk.after(*answered(), said(feedback_id="a", comment="Mine is x1y2z3w4 and it fails"))
    assert "x1y2z3w4" in str(desk.example().judgements)
    await desk.after(said("edit", "password: x1y2z3w4", feedback_id="b", offset=8))
    assert "x1y2z3w4" not in str(desk.example())


async def test_a_subject_that_is_personal_data_is_a_hash_in_examples(desk: Desk) -> None:
    await desk.after(*answered(), said(subject="eve@example.org"))
    [judgement] = desk.example().judgements
    assert judgement.subject is not None
    assert judgement.subject.startswith("subject-")
    await desk.after(Arrival(erasure("eve@example.org"), at=NOON + HOUR))
    assert not desk.example().judgements


async def test_the_latest_version_counts(desk: Desk) -> None:
    await desk.after(*answered(), said("thumb", False, created_at=NOON + HOUR), said("thumb", True, offset=8))
    assert [judgement.value for judgement in desk.example().judgements] == [False]


async def test_a_withdrawal_takes_a_judgement_back_whenever_it_comes(desk: Desk) -> None:
    taken_back = said("withdrawal", "f-1", feedback_id="w", offset=9)
    await desk.after(*answered(), said(), said(feedback_id="f-2", offset=8))
    await desk.after(taken_back)
    assert [judgement.feedback_id for judgement in desk.example().judgements] == ["f-2"]
    await desk.after(said(created_at=NOON + DAY, offset=10))
    assert [judgement.feedback_id for judgement in desk.example().judgements] == ["f-2"]


async def test_a_withdrawal_is_of_its_tenant_only(desk: Desk) -> None:
    await desk.after(*answered(), said(), said("withdrawal", "f-1", tenant="globex", feedback_id="w", offset=9))
    assert len(desk.example().judgements) == 1


async def test_an_erasure_empties_what_was_said_and_what_comes_again(desk: Desk) -> None:
    mine = said(subject="s-1", comment="a secret of mine")
    await desk.after(*answered(), mine, said(feedback_id="f-2", subject="s-2", offset=8))
    await desk.after(Arrival(erasure("s-1"), at=NOON + HOUR), mine)
    assert [judgement.subject for judgement in desk.example().judgements] == ["s-2"]
    assert "secret" not in repr(desk.store.cases([feedback_key()], 10))
    assert not desk.letters


async def test_who_comes_back_after_his_erasure_is_heard_if_he_says_when(desk: Desk) -> None:
    after: dict[str, Any] = {"subject": "s-1", "at": NOON + 2 * HOUR}
    await desk.after(*answered(), Arrival(erasure("s-1"), at=NOON + HOUR))
    await desk.after(said(feedback_id="undated", created_at=None, **after))
    await desk.after(said(feedback_id="dated", created_at=NOON + 2 * HOUR, offset=8, **after))
    assert [judgement.feedback_id for judgement in desk.example().judgements] == ["dated"]


async def test_the_answer_that_lost_a_choice_is_an_example_too(desk: Desk) -> None:
    other = response_id_of("acme", "p-2")
    await desk.after(said("choice", other), *answered(), *answered("acme", "p-2", offset=1))
    assert not desk.example("p-2").judgements
    assert desk.example("p-2").text == ANSWER
    await desk.after(said("thumb", True, created_at=NOON + HOUR, offset=8))
    assert other not in desk.examples


async def test_the_answer_that_was_sent_is_taken_where_a_stage_did_its_work_twice(desk: Desk) -> None:
    [asked, first, told] = answered()
    second = Arrival(first.event.model_copy(update={"text": "Otherwise."}), 5)
    await desk.after(second, asked, told, said())
    assert not desk.examples
    await desk.after(first)
    assert desk.example().text == ANSWER


async def test_an_example_goes_after_its_time_and_with_it_what_was_said(desk: Desk) -> None:
    await desk.after(*answered(), said(comment="a secret of mine"))
    assert desk.examples
    await desk.later(366 * DAY)
    assert not desk.examples
    assert "secret" not in repr(desk.store.cases([feedback_key()], 10))
    await desk.later(DAY)
    assert desk.store.cases([feedback_key()], 10)[0].outcome is None


async def test_shadows_are_passed_over(desk: Desk) -> None:
    shadow = {"run": "r", "prompt_id": "p-1", "conversation_id": "c", "submitted_at": NOON}
    assert not await desk.facts([Arrival(prompt().model_validate({**prompt().model_dump(), "shadow": shadow}))])


@pytest.mark.parametrize(
    "fields",
    [{"feedback_id": "a\0b"}, {"response_id": "a\nb"}, {"subject": "\x1b"}, {"value": "r\0", "kind": "choice"}],
)
async def test_ids_with_control_characters_are_rejected(fields: dict[str, Any], desk: Desk) -> None:
    with pytest.raises(Rejected, match="control characters"):
        await desk.hear(Arrival(feedback(**{"kind": "thumb", "value": True, **fields})))


async def test_texts_with_any_character_are_kept_and_masked(desk: Desk) -> None:
    odd = "\0 \ud7ff \U0001f600 \u202e <EMAIL_ADDRESS_9> </s>"
    await desk.after(*answered(), said("edit", odd))
    assert "\U0001f600" in str(desk.example().judgements[0].value)


async def test_an_example_never_grows_beyond_what_an_event_may_hold(desk: Desk) -> None:
    many = [said("edit", f"{n} " + "x" * 60_000, feedback_id=f"f-{n:03}", offset=n) for n in range(30)]
    await desk.after(*answered(), *many)
    [body] = desk.examples.values()
    assert 900_000 < len(body) <= 1024 * 1024
    assert len(desk.store.cases([feedback_key()], 1000)[0].said) == 30


async def test_doing_it_again_writes_nothing_new(desk: Desk) -> None:
    story = [*answered(), said(), said("edit", ANSWER, feedback_id="f-2", offset=8)]
    await desk.after(*story)
    before = len(desk.bus.records("example-recorded")), len(desk.letters)
    await desk.after(*story)
    assert (len(desk.bus.records("example-recorded")), len(desk.letters)) == before


def feedback_key() -> CaseKey:
    return CaseKey("acme", response_id_of("acme", "p-1"))
