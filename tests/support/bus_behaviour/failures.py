"""Rejected, retried, given up: each record ends somewhere, and nobody waits for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.bus import (
    Context,
    Delivery,
    Outgoing,
    Rejected,
    Retryable,
    Route,
    To,
    TooManyFailures,
)
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated, PromptSubmitted
from tests.support.bus_bench import (
    FAST,
    PATIENCE,
    Bench,
    Log,
    answer,
    notes_of,
    on,
    question,
)


class Failures:
    """Rejected, retried, given up: each record ends somewhere, and nobody waits for ever."""

    async def test_a_rejected_record_becomes_a_dead_letter_and_an_outcome(self, bench: Bench) -> None:
        def reject(event: PromptRefused) -> None:
            raise Rejected("too loud; lower your voice", code="unsafe_prompt")

        await bench.put(question("a", reply_to=1))
        async with bench.running(on(reject)):
            await bench.notes.until("rejected", 1)
        [letter] = await bench.read("prompt-refused-dlq")
        [record] = await bench.read("prompt-refused")
        assert letter.value == record.value
        assert set(record.headers) <= set(letter.headers)
        told = notes_of(letter)
        assert told.pop("dlq_time")
        assert told == {
            "dlq_code": "unsafe_prompt",
            "dlq_reason": "too loud; lower your voice",
            "dlq_stage": "tested",
            "dlq_attempts": "1",
            "dlq_topic": "prompt-refused",
            "dlq_partition": "0",
            "dlq_offset": "0",
        }
        [outcome] = await bench.read("prompt-failed")
        failed = PromptFailed.model_validate_json(outcome.value or b"")
        assert (failed.prompt_id, failed.reply_to, failed.reason.code) == ("a", 1, "unsafe_prompt")

    async def test_an_answered_rejection_has_no_outcome(self, bench: Bench) -> None:
        def reject(event: PromptRefused) -> None:
            raise Rejected("known already", answered=True)

        await bench.put(question("a"))
        async with bench.running(on(reject)):
            await bench.notes.until("rejected", 1)
        assert len(await bench.read("prompt-refused-dlq")) == 1
        assert await bench.read("prompt-failed") == []

    async def test_a_retry_blocks_its_own_key_only(self, bench: Bench) -> None:
        away, tries, done = asyncio.Event(), Log(), Log()

        async def handle(event: PromptRefused) -> PromptRepeated:
            tries.add(event.prompt_id)
            if event.conversation_id == "a" and not away.is_set():
                raise Retryable("the store is away")
            done.add(event.prompt_id)
            return answer(event)

        await bench.put(question("a1", "a"), question("a2", "a"), question("b1", "b"), question("b2", "b"))
        async with bench.running(on(handle)):
            await done.until("b1", "b2")
            await bench.notes.until("retried", 3)
            assert set(tries.items) == {"a1", "b1", "b2"}
            away.set()
            await done.until("a2")
        assert done.items == ["b1", "b2", "a1", "a2"]
        assert await bench.read("prompt-refused-dlq") == []

    async def test_a_sync_handlers_retry_blocks_its_own_key_only(self, bench: Bench) -> None:
        away, done = asyncio.Event(), Log()

        def handle(event: PromptRefused) -> PromptRepeated:
            if event.conversation_id == "a" and not away.is_set():
                raise Retryable("the store is away")
            done.add(event.prompt_id)
            return answer(event)

        await bench.put(question("a1", "a"), question("a2", "a"), question("b1", "b"))
        async with bench.running(on(handle)):
            await bench.notes.until("retried", 3)
            assert done.items == ["b1"]
            away.set()
            await done.until("a1", "a2")
        assert await bench.answers() == ["b1", "a1", "a2"]

    async def test_retries_that_run_out_end_in_the_outcome_failed(self, bench: Bench) -> None:
        def never(event: PromptRefused) -> None:
            raise Retryable("no engine answers", code="engine_unavailable")

        await bench.put(question("a"))
        async with bench.running(
            on(never, Delivery(backoff=timedelta(milliseconds=5), retry_for=timedelta(milliseconds=20)))
        ):
            await bench.notes.until("failed", 1)
        assert bench.notes.results["retried"] >= 1
        [outcome] = await bench.read("prompt-failed")
        failed = PromptFailed.model_validate_json(outcome.value or b"")
        assert failed.reason.code == "engine_unavailable"
        assert "no engine answers" in failed.reason.message

    async def test_a_bug_is_tried_a_few_times_and_its_text_goes_nowhere(self, bench: Bench) -> None:
        attempts = Log()

        def fail(event: PromptRefused, *, context: Context) -> None:
            attempts.add(str(context.attempt))
            raise RuntimeError("secret text of a prompt")

        await bench.put(question("a"), question("b", "other"))
        async with bench.running(on(fail, Delivery(bug_attempts=4, backoff=timedelta(milliseconds=1)))):
            await bench.notes.until("failed", 2)
        assert sorted(attempts.items) == sorted("1234" * 2)
        letters = await bench.read("prompt-refused-dlq")
        assert {notes_of(letter)["dlq_attempts"] for letter in letters} == {"4"}
        outcomes = await bench.read("prompt-failed")
        assert len(outcomes) == 2
        for record in [*letters, *outcomes]:
            assert b"secret" not in (record.value or b"")
            assert all(b"secret" not in value for _, value in record.headers)
        assert notes_of(letters[0])["dlq_code"] == "internal_error"

    async def test_a_deadline_stops_the_retries(self, bench: Bench) -> None:
        tries = Log()

        def never(event: PromptRefused) -> None:
            tries.add(event.prompt_id)
            raise Retryable("no engine answers")

        await bench.put(question("a", deadline=datetime(2020, 1, 1, tzinfo=UTC)))
        async with bench.running(on(never)):
            await bench.notes.until("failed", 1)
        assert tries.items == ["a"]
        [outcome] = await bench.read("prompt-failed")
        assert PromptFailed.model_validate_json(outcome.value or b"").reason.code == "deadline_exceeded"

    async def test_a_back_off_is_no_longer_than_the_deadline(self, bench: Bench) -> None:
        def never(event: PromptRefused) -> None:
            raise Retryable("no engine answers")

        patient = Delivery(backoff=timedelta(hours=1), max_backoff=timedelta(hours=1), retry_for=timedelta(days=1))
        await bench.put(question("a", deadline=datetime.now(UTC) + timedelta(seconds=1)))
        async with bench.running(on(never, patient)):
            await bench.notes.until("failed", 1)

    async def test_a_deadline_without_a_zone_stops_the_retries_too(self, bench: Bench) -> None:
        def never(event: PromptRefused) -> None:
            raise Retryable("no engine answers")

        await bench.put(question("a", deadline=datetime(2020, 1, 1)))  # noqa: DTZ001 - a careless writer's
        async with bench.running(on(never)):
            await bench.notes.until("failed", 1)

    async def test_a_handler_whose_own_wait_is_cancelled_counts_as_a_bug(self, bench: Bench) -> None:
        async def cancelled_within(event: PromptRefused) -> None:
            raise asyncio.CancelledError

        await bench.put(question("a"), question("b"))
        async with bench.running(on(cancelled_within)):
            await bench.notes.until("failed", 2)
        assert len(await bench.read("prompt-refused-dlq")) == 2

    @pytest.mark.parametrize("output", ["no event", To(99, answer(question("x"))), PromptRefused, 7])
    async def test_an_output_that_cannot_be_written_is_a_bug_of_that_record_only(
        self, bench: Bench, output: object
    ) -> None:
        def handle(event: PromptRefused) -> object:
            return output if event.prompt_id == "a" else answer(event)

        await bench.put(question("a"), question("b"))
        async with bench.running(on(handle)):
            await bench.notes.until("handled", 1)
        assert await bench.answers() == ["b"]
        assert len(await bench.read("prompt-refused-dlq")) == 1
        assert len(await bench.read("prompt-failed")) == 1

    async def test_an_output_too_large_for_the_broker_is_a_bug_of_that_record_only(self, bench: Bench) -> None:
        def handle(event: PromptRefused) -> PromptRefused | PromptRepeated:
            if event.prompt_id == "a":
                return question("a", masked={"x" * 5_000_000: 1})
            return answer(event)

        await bench.put(question("a"), question("b"))
        async with bench.running(on(handle)):
            await bench.notes.until("handled", 1)
        assert len(await bench.read("prompt-refused-dlq")) == 1

    async def test_a_stage_whose_records_mostly_fail_stops_and_says_so(self, bench: Bench) -> None:
        def fail(event: PromptRefused) -> None:
            raise RuntimeError

        await bench.put(*[question(f"p{i}", f"k{i}") for i in range(200)])
        stage = bench.stage(on(fail, Delivery(bug_attempts=1, in_flight=10)))
        with pytest.raises(TooManyFailures, match=r"most records of prompt-refused/0 fail in tested"):
            async with asyncio.timeout(PATIENCE):
                await stage.run()
        assert 20 <= len(await bench.read("prompt-refused-dlq")) < 60

    async def test_any_amount_of_nonsense_on_a_public_topic_stops_nothing(self, bench: Bench) -> None:
        got = Log()

        def handle(event: PromptSubmitted) -> None:
            got.add(event.prompt_id)

        await bench.put_raw(*[Outgoing("prompt-submitted", b"k", b"{", partition=0)] * 120)
        good = b'{"prompt_id": "good", "messages": [{"role": "user", "content": "hi"}]}'
        await bench.put_raw(Outgoing("prompt-submitted", b"good", good, partition=0))
        async with bench.running(Route(PromptSubmitted, handle, delivery=FAST)):
            await got.until("good")
        assert len(await bench.read("prompt-submitted-dlq")) == 120

    async def test_any_amount_of_refused_requests_stops_no_later_stage(self, bench: Bench) -> None:
        got = Log()

        def handle(event: PromptRefused) -> None:
            if event.prompt_id != "good":
                raise Rejected("no such model", code="unknown_model")
            got.add(event.prompt_id)

        await bench.put(*[question(f"p{i}", f"k{i}") for i in range(120)], question("good"))
        async with bench.running(on(handle)):
            await got.until("good")

    async def test_refused_requests_hide_no_bug(self, bench: Bench) -> None:
        def handle(event: PromptRefused) -> None:
            if int(event.prompt_id) % 4:
                raise Rejected("no such model", code="unknown_model")
            raise RuntimeError

        await bench.put(*[question(str(i), f"k{i}") for i in range(400)])
        with pytest.raises(TooManyFailures):
            async with asyncio.timeout(PATIENCE):
                await bench.stage(on(handle, Delivery(bug_attempts=1, in_flight=10))).run()

    async def test_nonsense_on_an_internal_topic_stops_the_stage(self, bench: Bench) -> None:
        await bench.put_raw(*[Outgoing("prompt-refused", b"k", b"{", partition=0)] * 120)
        with pytest.raises(TooManyFailures):
            async with asyncio.timeout(PATIENCE):
                await bench.stage(on(answer)).run()

    async def test_a_record_without_key_and_value_is_a_dead_letter(self, bench: Bench) -> None:
        await bench.put_raw(Outgoing("prompt-refused", b"k", None, (), 0))
        await bench.put(question("a"))
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 1)
        [letter] = await bench.read("prompt-refused-dlq")
        assert "null value" in notes_of(letter)["dlq_reason"]
