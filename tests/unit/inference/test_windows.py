import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.windows import SentenceWindows


def cut(text: str, step: int = 1) -> tuple[list[str], str]:
    windows = SentenceWindows()
    found = [w for start in range(0, len(text), step) for w in windows.push(text[start : start + step])]
    return found, windows.rest


def test_windows_end_where_sentences_end() -> None:
    found, rest = cut("The river is long. It is also wide! Is it very deep? Perhaps")
    assert found == ["The river is long. ", "It is also wide! ", "Is it very deep? "]
    assert rest == "Perhaps"


def test_very_short_sentences_share_a_window() -> None:
    assert cut("Yes. No. It depends on the river. So")[0] == ["Yes. No. It depends on the river. "]


def test_the_first_window_may_end_at_a_clause_so_that_text_comes_soon() -> None:
    found, _ = cut("When the river rises in early spring each year, the old bridge, it is said, trembles and")
    assert found == ["When the river rises in early spring each year, "]


def test_a_sentence_without_end_is_cut_at_white_space() -> None:
    found, rest = cut("word " * 100)
    assert all(len(window) <= 206 and window.endswith("word ") for window in found)
    assert "".join(found) + rest == "word " * 100


def test_a_placeholder_is_never_cut() -> None:
    text = "x" * 190 + " <EMAIL_ADDRESS_1> and so on, " * 10
    for step in (1, 7, 30):
        found, _ = cut(text, step)
        assert found
        assert all(w.count("<") == w.count(">") for w in found)


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "3.14159", "06 12 34 56 78", "1.234.567"])
def test_a_number_is_never_cut(number: str) -> None:
    text = "y" * 196 + f" {number} is the number. And on it goes"
    found, rest = cut(text)
    assert found
    assert sum(number in part for part in [*found, rest]) == 1


def test_the_number_of_a_list_item_stays_with_its_item() -> None:
    found, _ = cut("Here are the steps to take:\n1. Open the door.\n2. Close the door.\n3. Wait")
    assert "1. Open the door.\n" in found


@given(text=st.text(alphabet="ab .,\n<E_1>9", max_size=600), step=st.integers(1, 50))
def test_nothing_is_lost_and_nothing_added(text: str, step: int) -> None:
    found, rest = cut(text, step)
    assert "".join(found) + rest == text
    assert all(found)
