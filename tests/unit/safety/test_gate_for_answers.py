"""The gate on the way out: answers and their streamed windows."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.base import Parameters, ResponseFormat
from schemas.completions import CompletionChunk, CompletionChunkCleared, CompletionCleared, CompletionGenerated
from schemas.prompts import PromptRefused
from services.safety.adapters.policy_folder import PolicyFolder
from services.safety.handlers import CheckFailedError, clear_chunk, clear_completion
from services.safety.ports import Detectors
from tests.unit.safety.conftest import WritePolicies

MakeCompletion = Callable[..., CompletionGenerated]
MakeChunk = Callable[..., CompletionChunk]


class Broken:
    """A check that breaks."""

    def score(self, text: str) -> float:
        raise ValueError(text)


def test_an_answer_keeps_everything_but_personal_data_of_its_own(
    make_completion: MakeCompletion, policies: PolicyFolder, detectors: Detectors
) -> None:
    event = make_completion(
        "Dear <EMAIL_ADDRESS_1>, write to eve@example.org or eve@example.org.",
        masked={"EMAIL_ADDRESS": 1},
        sealed="box",
        seal_key_id="k",
        flags=("injection:history",),
        cached=True,
    )
    cleared = clear_completion(event, policies=policies, detectors=detectors)
    assert isinstance(cleared, CompletionCleared)
    assert cleared.text == "Dear <EMAIL_ADDRESS_1>, write to <EMAIL_ADDRESS> or <EMAIL_ADDRESS>."
    assert cleared.masked == {"EMAIL_ADDRESS": 3}
    changed = {"text", "masked", "policy"}
    assert cleared.model_dump(exclude=changed) == event.model_dump(exclude=changed)
    assert cleared.policy.startswith("default@")


def test_json_stays_json(make_completion: MakeCompletion, policies: PolicyFolder, detectors: Detectors) -> None:
    asked = Parameters(response_format=ResponseFormat(type="json_object"))
    event = make_completion('{"card": 4111111111111111}', parameters=asked)
    cleared = clear_completion(event, policies=policies, detectors=detectors)
    assert isinstance(cleared, CompletionCleared)
    assert cleared.text == '{"card": "<CREDIT_CARD>"}'


def test_a_toxic_answer_is_refused_and_not_quoted(
    make_completion: MakeCompletion, policies: PolicyFolder, detectors: Detectors
) -> None:
    refused = clear_completion(make_completion("I will kill you, Bob"), policies=policies, detectors=detectors)
    assert isinstance(refused, PromptRefused)
    assert refused.reason.code == "unsafe_answer"
    assert "Bob" not in refused.model_dump_json()


def test_a_tenant_may_refuse_or_flag_what_an_answer_holds(
    make_completion: MakeCompletion, detectors: Detectors, write_policies: WritePolicies
) -> None:
    policies = write_policies(
        acme="answer: {personal_data: {entities: {IBAN: {action: refuse}, IP_ADDRESS: {action: flag}}}}",
    )
    iban = clear_completion(make_completion("DE89370400440532013000"), policies=policies, detectors=detectors)
    address = clear_completion(make_completion("192.168.1.7"), policies=policies, detectors=detectors)
    assert isinstance(iban, PromptRefused)
    assert isinstance(address, CompletionCleared)
    assert (address.text, address.flags) == ("192.168.1.7", ("personal_data:answer:IP_ADDRESS",))


@pytest.mark.parametrize("text", ["I will kill you", "DE89370400440532013000"])
def test_a_refused_answer_names_the_model_that_wrote_it(
    make_completion: MakeCompletion, detectors: Detectors, write_policies: WritePolicies, text: str
) -> None:
    policies = write_policies(acme="answer: {personal_data: {entities: {IBAN: {action: refuse}}}}")
    event = make_completion(text, model={"name": "m", "adapter": "dpo-1", "dataset": "d-1"})
    refused = clear_completion(event, policies=policies, detectors=detectors)
    assert isinstance(refused, PromptRefused)
    assert refused.model == event.model


def test_a_broken_check_lets_no_answer_pass(
    make_completion: MakeCompletion, policies: PolicyFolder, detectors: Detectors
) -> None:
    with pytest.raises(CheckFailedError):
        clear_completion(make_completion("Hi"), policies=policies, detectors=replace(detectors, toxicity=Broken()))


def test_a_window_is_redacted_with_the_same_marker_and_keeps_the_seal(
    make_chunk: MakeChunk, policies: PolicyFolder, detectors: Detectors
) -> None:
    event = make_chunk("Write to eve@example.org now.", "Hello. ", index=3, sealed="box", seal_key_id="k")
    cleared = clear_chunk(event, policies=policies, detectors=detectors)
    assert isinstance(cleared, CompletionChunkCleared)
    assert (cleared.index, cleared.text, cleared.sealed) == (3, "Write to <EMAIL_ADDRESS> now.", "box")


@pytest.mark.parametrize(
    ("preceding", "text"),
    [("call +49 30 ", "1234567 now."), ("", "write to eve@exam"), ("", "I will kill you."), ("I will ", "kill you.")],
)
def test_a_window_that_may_not_be_shown_is_withheld(
    make_chunk: MakeChunk, policies: PolicyFolder, detectors: Detectors, preceding: str, text: str
) -> None:
    assert clear_chunk(make_chunk(text, preceding), policies=policies, detectors=detectors) is None


def test_a_tenant_may_have_no_stream_at_all(
    make_chunk: MakeChunk, detectors: Detectors, write_policies: WritePolicies
) -> None:
    policies = write_policies(acme="chunks: {enabled: false}")
    assert clear_chunk(make_chunk("Hello."), policies=policies, detectors=detectors) is None


def test_a_broken_check_withholds_the_window(
    make_chunk: MakeChunk, policies: PolicyFolder, detectors: Detectors
) -> None:
    broken = replace(detectors, toxicity=Broken())
    assert clear_chunk(make_chunk("Hello."), policies=policies, detectors=broken) is None
