import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.language_models import TokenCounter
from libs.language_models.engine.text import Detokenizer, StopScanner

TEXT = "naïve 🎉👩‍👩‍👧 漢字 and  double  blanks\n\n- list"


def test_characters_of_several_tokens_come_whole(counter: TokenCounter) -> None:
    detokenizer = Detokenizer(counter.tokenizer)
    pieces = [detokenizer.push(token) for token in counter.tokenizer.encode(TEXT).ids]
    assert "".join(pieces) == TEXT
    assert not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces


def test_a_character_that_never_ends_is_never_shown(counter: TokenCounter) -> None:
    detokenizer = Detokenizer(counter.tokenizer)
    ids = counter.tokenizer.encode("🎉").ids
    assert len(ids) > 1
    assert [detokenizer.push(token) for token in ids[:-1]] == [""] * (len(ids) - 1)


def test_text_ends_before_the_stop_string_even_when_it_comes_in_pieces() -> None:
    scanner = StopScanner(["END"])
    assert [scanner.push(piece) for piece in ("one E", "N", "D two")] == ["one ", "", ""]
    assert scanner.stopped


def test_what_only_looked_like_a_stop_string_is_shown_after_all() -> None:
    scanner = StopScanner(["END"])
    assert scanner.push("EN") == ""
    assert scanner.push("TER") == "ENTER"
    assert scanner.push(" E") == " "
    assert scanner.flush() == "E"
    assert not scanner.stopped


def test_the_earliest_of_several_stop_strings_counts() -> None:
    scanner = StopScanner(["late", "soon"])
    assert scanner.push("x soon y late") == "x "


@given(
    text=st.text(alphabet="abc", max_size=30),
    stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=3),
    cuts=st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
def test_however_text_is_cut_into_pieces_it_ends_at_the_same_place(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    scanner, shown, rest = StopScanner(stops), "", text
    for size in cuts:
        piece, rest = rest[:size], rest[size:]
        shown += scanner.push(piece)
        if scanner.stopped or not rest:
            break
    if scanner.stopped:
        assert not any(stop in shown for stop in stops)
        assert any(text.startswith(shown + stop) for stop in stops)
    else:
        assert shown + scanner.flush() == text
        assert not any(stop in text for stop in stops)


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stop_strings_nothing_is_held_back(stops: list[str]) -> None:
    assert StopScanner(stops).push("all of it") == "all of it"
