"""Questions made of a knowledge base, and what is taken for a right answer."""

import re
from pathlib import Path

import pytest

from services.evaluation.examination.passages import Knowledge, read_knowledge
from services.evaluation.examination.questions import GAP, is_right, questions
from tests.support.evaluations import SHOP, knowledge_file


@pytest.fixture
def known(tmp_path: Path) -> Knowledge:
    found = read_knowledge(knowledge_file(tmp_path / "knowledge.jsonl"))
    assert found is not None
    return found


def test_each_kind_of_question_is_asked_as_often_as_there_are_sentences(known: Knowledge) -> None:
    asked = questions(known, 3, 7)
    assert [it.kind for it in asked] == ["easy"] * 3 + ["complex"] * 3 + ["distracting"] * 3
    assert len({it.text for it in asked}) == 9
    # Of each document in turn.
    assert len({it.document for it in asked[:3]}) == 3


def test_the_term_that_was_taken_out_stands_in_the_passage_that_is_named(known: Knowledge) -> None:
    for it in questions(known, 5, 7):
        gaps = it.text.count(GAP)
        assert gaps == len(it.terms) == len(it.sources) == (2 if it.kind == "complex" else 1)
        assert not is_right(it.text, it.terms)
        for term, place in zip(it.terms, it.sources, strict=True):
            assert re.search(rf"\b{re.escape(term)}\b", known.passages[place].text)
            assert known.passages[place].document_id == it.document
        assert len({known.passages[place].ordinal for place in it.sources}) == gaps


def test_the_same_seed_asks_the_same(known: Knowledge) -> None:
    assert questions(known, 4, 7) == questions(known, 4, 7) != questions(known, 4, 8)


def test_masked_values_and_markup_are_not_asked_about(tmp_path: Path) -> None:
    told = {
        "a": ["Write to <EMAIL_ADDRESS> for all questions about parcels.", "| a table | has no | sentence in it. |"]
    }
    found = read_knowledge(knowledge_file(tmp_path / "k.jsonl", told))
    assert found is not None
    assert questions(found, 4, 7) == []


def test_a_sentence_goes_on_where_its_line_was_broken(tmp_path: Path) -> None:
    told = {name: [f"The {name} opens at\nhalf past 7{n} in the morning."] for n, name in enumerate(("shop", "hall"))}
    found = read_knowledge(knowledge_file(tmp_path / "k.jsonl", told))
    assert found is not None
    assert {it.terms for it in questions(found, 2, 7) if it.kind == "easy"} == {("70",), ("71",)}


@pytest.mark.parametrize(
    ("answer", "terms", "right"),
    [
        ("Within 14 days [1].", ("14",), True),
        ("within Fourteen days", ("14",), True),
        ("14 days", ("fourteen",), True),
        ("it costs 1,200 euros", ("1200",), True),
        ("it costs 1200", ("1,200",), True),
        ("version 1.5", ("1,5",), False),
        ("in 2014", ("14",), False),
        ("the WAREHOUSE in Lyon", ("warehouse", "Lyon"), True),
        ("the warehouse", ("warehouse", "Lyon"), False),
        ("warehouses", ("warehouse",), False),
        ("C++ it is", ("C++",), True),
        ("", ("14",), False),
    ],
)
def test_an_answer_is_right_where_it_names_all_terms(answer: str, terms: tuple[str, ...], right: bool) -> None:
    assert is_right(answer, terms) is right


def test_the_passage_that_misleads_is_of_another_document_and_holds_no_answer(known: Knowledge) -> None:
    for it in questions(known, 5, 7):
        place = known.misleading(it.sources[0], it.terms)
        assert place is not None
        passage = known.passages[place]
        assert passage.document_id != it.document
        assert not any(term.lower() in passage.text.lower() for term in it.terms)


def test_the_nearest_passage_misleads(tmp_path: Path) -> None:
    told = {
        "a": ["A parcel may be sent back within 14 days.", "A parcel may be sent back within 9 days."],
        "b": ["Bananas are yellow and ripe."],
        "c": ["A parcel may be sent back within 30 days."], "d": ["A parcel may be sent back within 14 days, too."],
    }  # fmt: skip
    found = read_knowledge(knowledge_file(tmp_path / "k.jsonl", told))
    assert found is not None
    assert found.misleading(0, ("14",)) == 3
    assert found.misleading(0, ("a",)) is None


def test_passages_of_the_commoner_embedding_model_are_kept(tmp_path: Path) -> None:
    file = knowledge_file(tmp_path / "k.jsonl")
    few = knowledge_file(tmp_path / "few.jsonl", {"x": ["One passage of another model."]}, model="another")
    file.write_text(file.read_text() + few.read_text())
    found = read_knowledge(file)
    assert found is not None
    assert found.model == "hashing-256"
    assert found.documents == len(SHOP)
    assert read_knowledge(tmp_path / "none.jsonl") is None
    assert found.found(found.vectors, 1) == [[place] for place in range(len(found.passages))]
