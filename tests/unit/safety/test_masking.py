"""Masking and redaction: nothing found remains, and putting the values back gives the text that was."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.personal_data import Finding, PatternDetector, Unmaskable, already_written
from services.safety.domain.masking import Masker
from services.safety.domain.policy import (
    AnswerEntityRule,
    AnswerPersonalDataRules,
    EntityRule,
    PersonalDataRules,
)
from services.safety.domain.redaction import Redactor

FIND = PatternDetector().find
ALL = PersonalDataRules(default=EntityRule(action="mask", restore=True))
ANSWER = AnswerPersonalDataRules(default=AnswerEntityRule(action="mask"))

values = st.sampled_from(
    [
        "ada@example.org",
        "bob@example.org",
        "4111 1111 1111 1111",
        "+49 30 1234567",
        "DE89370400440532013000",
        "192.168.1.7",
        "AKIAIOSFODNN7EXAMPLE",
        "password: hunter2!",
        "https://u:pw@example.org",
        "536-90-4399",
        "ad\u200ba@example.org",
    ]
)
filler = st.text(alphabet=st.sampled_from(" abcXYZ019@.,:-_<>()/+#\n\u200b\uff10\u00e9"), max_size=12)
placeholders = st.sampled_from(
    ["<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>", "<CREDIT_CARD_1>", "<IBAN>", "<email_address_1>"]
)
texts = st.lists(values | filler | placeholders, max_size=8).map("".join)


def masker_for(*messages: str, rules: PersonalDataRules = ALL) -> Masker:
    masker = Masker(FIND, rules, already_written(messages))
    masker.learn(messages)
    return masker


def restored(text: str, masker: Masker) -> str:
    return re.sub(r"<[A-Z_]+_\d+>", lambda match: masker.restorable.get(match.group(), match.group()), text)


@settings(max_examples=400)
@given(st.lists(texts, min_size=1, max_size=4))
def test_masking_and_restoring_is_the_identity_and_leaves_nothing_to_find(messages: list[str]) -> None:
    masker = masker_for(*messages)
    masked = [masker.mask(message) for message in messages]
    assert [FIND(message) for message in masked] == [[] for _ in messages]
    assert [restored(message, masker) for message in masked] == messages


@settings(max_examples=200)
@given(st.lists(texts, min_size=1, max_size=4))
def test_no_masked_value_stands_in_what_is_left(messages: list[str]) -> None:
    masker = masker_for(*messages)
    left = "\n".join(masker.mask(message) for message in messages)
    kept = re.sub(r"<[A-Z_]+(?:_\d+)?>", "\0", left)
    for value in masker.restorable.values():
        assert not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", kept)


def test_the_same_value_gets_the_same_placeholder_in_every_message() -> None:
    masker = masker_for()
    assert masker.mask("ada@example.org, bob@example.org") == "<EMAIL_ADDRESS_1>, <EMAIL_ADDRESS_2>"
    assert masker.mask("again bob@example.org") == "again <EMAIL_ADDRESS_2>"
    assert masker.counts == {"EMAIL_ADDRESS": 2}


def test_a_value_that_one_message_gives_away_is_masked_in_all() -> None:
    messages = ("I logged in with x1y2z3q4.", "password: x1y2z3q4", "Ask 5551234567.", "my phone: 5551234567")
    masker = masker_for(*messages)
    assert [masker.mask(message) for message in messages] == [
        "I logged in with <PASSWORD_1>.",
        "password: <PASSWORD_1>",
        "Ask <PHONE_NUMBER_1>.",
        "my phone: <PHONE_NUMBER_1>",
    ]


@pytest.mark.parametrize(
    "spoof",
    [
        "<EMAIL_ADDRESS_1>",
        "<EMAIL_ADDRESS_01>",
        "<email_address_1>",
        "<EMAIL_\u200bADDRESS_1>",
        "\uff1cEMAIL_ADDRESS_1\uff1e",
    ],
)
def test_a_placeholder_that_the_user_wrote_never_comes_to_stand_for_a_value(spoof: str) -> None:
    text = f"{spoof} is not ada@example.org"
    masker = masker_for(text)
    assert masker.mask(text) == f"{spoof} is not <EMAIL_ADDRESS_2>"
    assert masker.restorable == {"<EMAIL_ADDRESS_2>": "ada@example.org"}


def test_only_what_policy_lets_come_back_is_in_the_mapping() -> None:
    rules = PersonalDataRules(
        default=EntityRule(action="mask"), entities={"IBAN": EntityRule(action="mask", restore=True)}
    )
    masker = masker_for(rules=rules)
    assert masker.mask("ada@example.org DE89370400440532013000") == "<EMAIL_ADDRESS_1> <IBAN_1>"
    assert masker.restorable == {"<IBAN_1>": "DE89370400440532013000"}


def test_what_policy_allows_or_flags_stays_and_is_known() -> None:
    rules = PersonalDataRules(
        default=EntityRule(action="mask"),
        entities={"IP_ADDRESS": EntityRule(action="allow"), "EMAIL_ADDRESS": EntityRule(action="flag")},
    )
    masker = masker_for(rules=rules)
    assert masker.mask("ada@example.org at 192.168.1.7") == "ada@example.org at 192.168.1.7"
    assert (masker.kinds("allow"), masker.kinds("flag"), masker.counts) == (["IP_ADDRESS"], ["EMAIL_ADDRESS"], {})


def test_values_that_overlap_without_end_are_reported_and_not_passed() -> None:
    def insatiable(text: str) -> Sequence[Finding]:
        return [Finding(0, 1, "PASSWORD")] if text else []

    with pytest.raises(Unmaskable):
        Masker(insatiable, ALL).mask("text")


@given(texts)
def test_an_answer_has_no_personal_data_of_its_own_left_and_keeps_its_placeholders(text: str) -> None:
    redacted = Redactor(FIND, ANSWER).redact(text)
    assert FIND(redacted) == []
    assert redacted.count("<CREDIT_CARD_1>") == text.count("<CREDIT_CARD_1>")


def test_redacted_json_is_still_json() -> None:
    text = '{"mail": "ada@example.org", "card": 4111111111111111, "n": 1, "ok": true, "none": null}'
    redacted = Redactor(FIND, ANSWER).redact_json(text)
    assert redacted == '{"mail": "<EMAIL_ADDRESS>", "card": "<CREDIT_CARD>", "n": 1, "ok": true, "none": null}'


@given(
    st.lists(
        st.sampled_from(["Write to ada@example.org. ", "Nothing here.\n", "Card 4111 1111 1111 1111! "]), max_size=6
    )
)
def test_sentence_windows_of_a_stream_come_out_like_the_whole_answer(sentences: list[str]) -> None:
    windows, preceding = [], ""
    for sentence in sentences:
        windows.append(Redactor(FIND, ANSWER).redact_window(preceding[-256:], sentence))
        preceding += sentence
    assert "".join(map(str, windows)) == Redactor(FIND, ANSWER).redact(preceding)


@pytest.mark.parametrize(
    ("preceding", "text"),
    [
        ("call +49 30 ", "1234567 now."),
        ("write to ada@exam", "ple.org now."),
        ("", "write to ada@exam"),
        ("", "the card is 4111 1111"),
        ("", "it is for <EMAIL_ADD"),
        ("", "the key is AKIAIOSF7DNN7"),
    ],
)
def test_a_window_across_whose_edge_a_value_may_lie_is_withheld(preceding: str, text: str) -> None:
    assert Redactor(FIND, ANSWER).redact_window(preceding, text) is None


@pytest.mark.parametrize("text", ["It is 2026.", "in 2024 and", "a sentence without an end", "See [1]", "1. First\n"])
def test_an_ordinary_window_passes_unchanged(text: str) -> None:
    assert Redactor(FIND, ANSWER).redact_window("before. ", text) == text
