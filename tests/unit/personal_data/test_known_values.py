"""Values known by heart: all of them found in one pass, as a plain search for each would find them."""

from hypothesis import given
from hypothesis import strategies as st

from libs.personal_data._automaton import Automaton
from libs.personal_data._known import Known

tokens = st.lists(st.sampled_from("abc"), max_size=30)
sequences = st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(tuple), max_size=8)


@given(sequences, tokens)
def test_the_automaton_finds_the_longest_sequence_that_ends_at_each_token(
    wanted: set[tuple[str, ...]], text: list[str]
) -> None:
    automaton = Automaton({sequence: "".join(sequence) for sequence in wanted})
    naive = []
    for past in range(1, len(text) + 1):
        ending = [s for s in wanted if len(s) <= past and tuple(text[past - len(s) : past]) == s]
        if ending:
            longest = max(ending, key=len)
            naive.append((past, len(longest), "".join(longest)))
    assert list(automaton.ends(text)) == naive


def test_an_automaton_over_nothing_finds_nothing() -> None:
    assert list(Automaton[str]({}).ends("abc")) == []


def test_what_is_learned_after_a_search_is_found_by_the_next() -> None:
    known = Known()
    known.learn("ada@example.org", "EMAIL_ADDRESS")
    assert len(list(known.find("ada@example.org, bob@example.org"))) == 1
    known.learn("BOB@example.org", "EMAIL_ADDRESS")
    assert len(list(known.find("ada@example.org, bob@example.org"))) == 2


def test_a_better_name_for_a_value_holds_from_then_on_whichever_came_first() -> None:
    known, other = Known(), Known()
    known.learn("x1y2z3q4", "PASSWORD")
    known.learn("x1y2z3q4", "API_KEY")
    other.learn("x1y2z3q4", "API_KEY")
    other.learn("x1y2z3q4", "PASSWORD")
    assert {finding.entity_type for k in (known, other) for finding in k.find("x1y2z3q4")} == {"API_KEY"}
    assert known.kind_of("X1Y2Z3Q4", "PASSWORD") == "API_KEY"
    assert known.kind_of("unknown", "PASSWORD") == "PASSWORD"


def test_a_value_is_counted_once_however_it_is_written() -> None:
    known = Known()
    for value in ("4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"):
        known.learn(value, "CREDIT_CARD")
    for value in ("ada@example.org", "Ada@Example.ORG", "ada@exam\u200bple.org"):
        known.learn(value, "EMAIL_ADDRESS")
    assert sorted(known.kinds) == ["CREDIT_CARD", "EMAIL_ADDRESS"]


def test_a_number_is_found_however_it_is_grouped_and_not_across_words() -> None:
    known = Known()
    known.learn("DE89 3704 0044 0532 0130 00", "IBAN")
    known.learn("5551234567", "PHONE_NUMBER")
    for text in ("de89370400440532013000", "dE 89-3704.0044/05320130\n00", "(555) 123-45 67", "5 5 5 1 2 3 4 5 6 7"):
        (finding,) = known.find(f"is {text}, see?")
        assert f"is {text}, see?"[finding.start : finding.end].lstrip("(") == text.lstrip("(")
    for text in (
        "555 and 1234567",
        "555, 1234567",
        "555" + " " * 9 + "1234567",
        "55512345678",
        "XDE89370400440532013000",
    ):
        assert not list(known.find(text)), text
