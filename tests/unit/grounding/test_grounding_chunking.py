"""Chunking keeps to structure and size, loses no word, and says where each passage stands."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.grounding.domain.blocks import Block, Kind
from services.grounding.domain.chunking import Sizes, chunk, searched
from services.grounding.domain.readers import read_markdown


def words(text: str) -> int:
    return len(text.split())


def texts(blocks: list[Block], target: int = 10, overlap: int = 0) -> list[str]:
    return [passage.text for passage in chunk(blocks, words, Sizes(target, overlap))]


def test_neighbours_share_a_passage_while_they_fit() -> None:
    blocks = [Block("paragraph", text) for text in ("one two three", "four five six", "seven eight nine ten eleven")]
    assert texts(blocks) == ["one two three\n\nfour five six", "seven eight nine ten eleven"]


def test_no_passage_crosses_a_heading_or_a_page() -> None:
    blocks = [Block("paragraph", "a", ("A",)), Block("paragraph", "b", ("B",)), Block("paragraph", "c", page=1)]
    found = [(p.text, p.location) for p in chunk(blocks, words, Sizes(50, 0))]
    assert found == [("a", "A"), ("b", "B"), ("c", "page 1")]


def test_a_code_block_that_fits_stays_whole_though_its_neighbour_must_go() -> None:
    code = Block("code", "a b c\nd e f\ng h i")
    assert texts([Block("paragraph", "one two three"), code]) == ["one two three", code.text]


def test_long_code_is_cut_between_lines() -> None:
    assert texts([Block("code", "a b c d\ne f g h\ni j k l")]) == ["a b c d\ne f g h", "i j k l"]


def test_a_long_table_repeats_its_header() -> None:
    table = "| n | v |\n|--|--|\n" + "\n".join(f"| {n} | x |" for n in range(6))
    pieces = texts([Block("table", table)], target=16)
    assert len(pieces) > 1
    assert all(piece.startswith("| n | v |\n|--|--|\n") for piece in pieces)
    assert [line for piece in pieces for line in piece.split("\n")[2:]] == table.split("\n")[2:]


def test_a_long_paragraph_is_cut_at_sentences_with_a_small_overlap() -> None:
    block = Block("paragraph", "One two three. Four five. Six seven eight. Nine ten eleven twelve.")
    assert texts([block], target=8, overlap=2) == [
        "One two three. Four five. Six seven eight.",
        "Nine ten eleven twelve.",
    ]
    assert texts([block], target=6, overlap=2) == [
        "One two three. Four five.",
        "Four five. Six seven eight.",
        "Nine ten eleven twelve.",
    ]


def test_a_run_of_characters_without_spaces_is_cut_too() -> None:
    found = texts([Block("paragraph", "x" * 50_000)], target=200)
    assert "".join(found).replace(" ", "").replace("\n", "") == "x" * 50_000
    assert max(len(text) for text in found) <= 8 * 200 + 200


def test_the_title_and_heading_path_are_searched_with_the_text_and_pages_are_not() -> None:
    assert searched("Guide", "Install > Linux", "text") == "Guide > Install > Linux\ntext"
    assert searched("Guide", "page 3", "text") == "Guide\ntext"
    assert searched(None, None, "text") == "text"


def test_a_real_document_keeps_every_line_of_its_code() -> None:
    lines = "\n".join(f"command --option {n} --verbose" for n in range(80))
    blocks = read_markdown(f"# Run\n\n```\n{lines}\n```\n").blocks
    passages = list(chunk(blocks, words, Sizes(40, 5)))
    assert "\n".join(p.text for p in passages) == lines
    assert {p.location for p in passages} == {"Run"}


BLOCKS = st.lists(
    st.builds(
        Block,
        st.sampled_from(["paragraph", "list", "code"]),
        st.lists(st.text("abc .!\n", min_size=1, max_size=60), min_size=1, max_size=4)
        .map("\n".join)
        .filter(lambda text: bool(text.strip())),
        st.sampled_from([(), ("A",), ("A", "B")]),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS, st.integers(4, 40))
def test_no_word_is_lost_and_no_passage_is_too_long(blocks: list[Block], target: int) -> None:
    passages = list(chunk(blocks, words, Sizes(target, 0)))
    assert [w for p in passages for w in p.text.split()] == [w for b in blocks for w in b.text.split()]
    assert all(words(p.text) <= target for p in passages)


def test_kinds_are_all_known_to_the_splitter() -> None:
    long = "a b c d e f\ng h i j k l\nm n o p q r"
    kinds: tuple[Kind, ...] = ("paragraph", "list", "code", "table")
    for kind in kinds:
        assert len(texts([Block(kind, long)], target=7)) > 1, kind
