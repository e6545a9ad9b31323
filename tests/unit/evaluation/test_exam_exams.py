"""What each exam finds, and what it says where it cannot be."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from libs.datasets import KINDS, SPLITS, Datasets, read_policy
from libs.model_registry import Adapters
from services.evaluation.domain.exam import Scores
from services.evaluation.domain.metrics import METRICS
from services.evaluation.examination.asking import Found, Given, Planned
from services.evaluation.examination.exams import EXAMS
from services.evaluation.examination.exams.answers import _bleu, _by_turns, _rouge, answers, told
from services.evaluation.examination.exams.knowledge import _shown, knowledge
from services.evaluation.examination.exams.perplexity import general, perplexity
from services.evaluation.examination.exams.preferences import _loss, _sign, judgements, preferences, retained
from services.evaluation.examination.exams.safety import safety
from services.evaluation.examination.exams.size import size
from services.evaluation.examination.likelihood import Likelihood
from services.evaluation.examination.opening import opened
from services.evaluation.examination.passages import read_knowledge
from services.evaluation.examination.questions import questions
from services.evaluation.examination.students import Students
from services.evaluation.examination.tokens import Reader
from services.evaluation.examination.writing import Written
from tests.support.evaluations import exam, gate, knowledge_file, random_adapter
from tests.support.trainings import polite
from tests.unit.evaluation.conftest import Lot

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
CPU = torch.device("cpu")


def given_of(
    lot: Lot, folder: Path, *, champion: str | None = None, judge: dict[str, str] | None = None, **exams: Any
) -> Given:
    rules = gate(exams=exams, **({"judge": judge} if judge else {}))
    asked = exam(lot.folder, lot.base, lot.one.name, champion=champion, gate=rules)
    case = opened(asked, None)
    reader = Reader(lot.base, asked.gate.exams.max_length)
    return Given(case, reader, frozenset(), folder, None, "cpu")


def asked(students: Students, plan: Planned) -> Found:
    """What was found, once as many steps were taken as were planned."""
    steps: list[None] = []
    found = plan.ask(students, lambda: steps.append(None))
    assert len(steps) == plan.steps
    for scores in found.scores:
        rows = {len(scores.candidate), len(scores.champion), len(scores.groups)}
        assert rows == {len(scores.groups)}
        assert {len(it) for it in (*scores.candidate, *scores.champion)} == {METRICS[scores.metric].numbers}
    return found


def scores_of(found: Found, metric: str) -> Scores:
    return next(it for it in found.scores if it.metric == metric)


@pytest.fixture(scope="module")
def students(lot: Lot) -> Students:
    return Students(lot.base, lot.one.folder, lot.two.folder, CPU, frozenset({2}))


@pytest.fixture(scope="module")
def beside_base(lot: Lot) -> Students:
    return Students(lot.base, lot.one.folder, None, CPU, frozenset({2}))


def test_pairs_are_scored_by_what_is_likelier_token_for_token(lot: Lot, tmp_path: Path, students: Students) -> None:
    plan = preferences(given_of(lot, tmp_path, champion=lot.two.name, pairs=50))
    found = asked(students, plan)
    accuracy, loss = (scores_of(found, it) for it in ("preference_accuracy", "preference_loss"))
    assert accuracy.groups == loss.groups
    assert all(it.startswith("c-r-") for it in accuracy.groups)
    for right, lost in zip(accuracy.candidate + accuracy.champion, loss.candidate + loss.champion, strict=True):
        assert right[0] == (1.0 if lost[0] < math.log(2) else 0.5 if lost[0] == math.log(2) else 0.0)
        assert right[1] == lost[1] == 1.0
    assert loss.candidate != loss.champion


def test_what_the_champion_was_taught_is_asked_of_both(lot: Lot, tmp_path: Path, students: Students) -> None:
    champion = Adapters(lot.models).open(lot.two.name)
    other = Datasets(lot.folder / "datasets").publish(polite(60, start=500, flipped=True), read_policy()).dataset
    given = given_of(lot, tmp_path, champion=champion.name, pairs=50)
    asked_of = dataclasses.replace(given, case=dataclasses.replace(given.case, dataset=other))
    found = scores_of(asked(students, retained(asked_of)), "retained_accuracy")
    theirs = scores_of(asked(students, preferences(given)), "preference_accuracy")
    assert champion.card.trained.dataset == lot.dataset.name != other.name
    assert (found.candidate, found.champion, found.groups) == (theirs.candidate, theirs.champion, theirs.groups)
    assert asked(students, preferences(asked_of)).scores[0].groups != found.groups


def test_what_nobody_was_taught_or_is_gone_cannot_be_asked(lot: Lot, tmp_path: Path, students: Students) -> None:
    given = given_of(lot, tmp_path, champion=lot.two.name, pairs=50)
    bare = dataclasses.replace(given, case=dataclasses.replace(given.case, champion=None))
    assert "the bare base serves" in asked(students, retained(bare)).missing["retained_accuracy"]
    moved = given.case.exam.model_copy(update={"datasets": tmp_path / "none"})
    gone = dataclasses.replace(given, case=dataclasses.replace(given.case, exam=moved))
    assert "what the champion was taught is gone" in asked(students, retained(gone)).missing["retained_accuracy"]


def test_the_loss_is_that_of_the_sigmoid_and_has_a_number_everywhere() -> None:
    assert [_loss(it) for it in (-2.0, 0.0, 3.0)] == pytest.approx(
        [-math.log(1 / (1 + math.exp(-x))) for x in (-2, 0, 3)]
    )
    assert (_loss(-1e5), _loss(1e5)) == (1e5, 0.0)
    assert [_sign(it) for it in (0.1, 0.0, -0.1)] == [1.0, 0.5, 0.0]


def test_single_judgements_are_compared_with_the_bare_base(lot: Lot, tmp_path: Path, beside_base: Students) -> None:
    given = given_of(lot, tmp_path, pairs=50)
    found = scores_of(asked(beside_base, judgements(given)), "judgement_accuracy")
    assert set(found.champion) == {(0.5, 1.0)}
    assert {it[0] for it in found.candidate} <= {0.0, 1.0}
    still = random_adapter(tmp_path, lot.base, lot.dataset.name, scale=0.0)
    unmoved = asked(Students(lot.base, still.folder, None, CPU, frozenset()), judgements(given))
    assert set(unmoved.scores[0].candidate) == {(0.5, 1.0)}


def test_a_judgement_is_right_where_what_was_liked_became_likelier(lot: Lot, tmp_path: Path) -> None:
    class Fond:
        """Finds each text likelier than the base does."""

        def likelihoods(self, who: str, texts: list[Any], tick: Any) -> list[Any]:
            return [Likelihood(-1.0 if who == "candidate" else -2.0, 1) for _ in texts]

    given = given_of(lot, tmp_path, pairs=50)
    found = judgements(given).ask(Fond(), lambda: None)  # type: ignore[arg-type]
    rows = dict(lot.dataset.identified("kto", "test"))
    liked = sum('"label":true' in line for line in rows.values())
    assert 0 < liked < len(rows)
    assert sum(it[0] for it in found.scores[0].candidate) == liked


def test_perplexity_is_of_the_better_answers_and_of_plain_texts(lot: Lot, tmp_path: Path, students: Students) -> None:
    given = given_of(lot, tmp_path, champion=lot.two.name, pairs=50, texts=3)
    found = scores_of(asked(students, perplexity(given)), "perplexity")
    assert len(found.groups) == sum(1 for _ in lot.dataset.rows("sft", "test"))
    # A base of random weights finds all tokens about alike.
    value = math.exp(sum(it[0] for it in found.candidate) / sum(it[1] for it in found.candidate))
    assert value == pytest.approx(49152, rel=0.3)
    plain = scores_of(asked(students, general(given)), "general_perplexity")
    assert len(plain.groups) == 3


def test_answers_are_compared_with_the_better_ones_and_timed(
    lot: Lot, tmp_path: Path, students: Students, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "partial_judge.py").write_text("def first(*_): return 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    judge = {"kind": "python", "function": "partial_judge:first"}
    given = given_of(lot, tmp_path, champion=lot.two.name, judge=judge, answers=20, answer_tokens=5)
    found = asked(students, answers(given))
    assert {it.metric for it in found.scores} == {"bleu", "rouge_l", "win_rate", "seconds_per_token"}
    wins = scores_of(found, "win_rate")
    assert (set(wins.candidate), set(wins.champion)) == ({(1.0, 1.0)}, {(0.0, 1.0)})
    clock = scores_of(found, "seconds_per_token")
    assert all(it[0] > 0 and it[1] > 0 for it in clock.candidate + clock.champion)
    assert len(found.samples) == len(wins.groups) == sum(1 for _ in lot.dataset.rows("sft", "test"))
    assert all(it.reference is not None and it.reference.startswith("Thank you") for it in found.samples)


def test_both_models_write_by_turns_and_warm_up_uncounted() -> None:
    asked_of: list[tuple[str, int]] = []

    class Recorded:
        def write(self, who: str, prompts: list[list[int]], tokens: int) -> Written:
            asked_of.append((who, tokens))
            return Written(((1,),), 1.0, 1)

    found = _by_turns(Recorded(), lambda: None, [[[1]], [[2]], [[3]]], 9)  # type: ignore[arg-type]
    assert asked_of[:2] == [("candidate", 4), ("champion", 4)]
    assert [who for who, _ in asked_of[2:]] == [
        "candidate",
        "champion",
        "champion",
        "candidate",
        "candidate",
        "champion",
    ]
    assert [len(it) for it in found.values()] == [3, 3]


def test_n_grams_and_words_are_counted_as_they_are_known() -> None:
    text = "the cat sat on the mat ."
    assert _bleu(text, text) == (7, 7, 7, 6, 5, 4, 7, 6, 5, 4)
    assert _bleu("the cat", "a cat") == (2, 2, 1, 0, 0, 0, 2, 1, 0, 0)
    assert _rouge("The cat sat", "the dog sat") == pytest.approx(2 / 3)
    assert (_rouge("", "the dog"), _rouge("the dog", "The  Dog")) == (0.0, 1.0)
    said = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    assert (told(said[:1]), told(said)) == ("Hi.", "User: Hi.\n\nAssistant: Hello.")


def test_questions_show_the_passages_that_were_found(lot: Lot, tmp_path: Path, students: Students) -> None:
    knowledge_file(tmp_path / "knowledge.jsonl")
    given = given_of(lot, tmp_path, champion=lot.two.name, questions=2, max_length=512)
    found = asked(students, knowledge(given))
    retrieved = scores_of(found, "rag_retrieval")
    assert retrieved.candidate == retrieved.champion
    assert sum(it[0] for it in retrieved.candidate) >= 5
    assert {it.metric for it in found.scores} == {"rag_retrieval", "rag_easy", "rag_complex", "rag_distracting"}
    assert found.missing == {}
    assert [len(it.groups) for it in found.scores] == [6, 2, 2, 2]
    assert all(it.startswith("default/") for it in retrieved.groups)


def test_a_model_that_reads_the_sources_answers_right(lot: Lot, tmp_path: Path) -> None:
    knowledge_file(tmp_path / "knowledge.jsonl")
    given = given_of(lot, tmp_path, questions=2, max_length=512)
    shown: list[str] = []

    class Copying:
        """The candidate repeats all that it was shown; the champion says nothing."""

        def write(self, who: str, prompts: list[list[int]], tokens: int) -> Written:
            shown.extend(given.reader.written(it) for it in prompts if who == "candidate")
            return Written(tuple(tuple(it) if who == "candidate" else () for it in prompts), 1.0, 1)

    found = knowledge(given).ask(Copying(), lambda: None)  # type: ignore[arg-type]
    assert sum(it[0] for it in scores_of(found, "rag_easy").candidate) == 2
    assert sum(it[0] for it in scores_of(found, "rag_easy").champion) == 0
    assert all("[1] " in it and "[4] " in it for it in shown)


def test_what_misleads_stands_first_and_is_shown_once(tmp_path: Path) -> None:
    known = read_knowledge(knowledge_file(tmp_path / "knowledge.jsonl"))
    assert known is not None
    for it in questions(known, 2, 7):
        misleading = known.misleading(it.sources[0], it.terms)
        assert misleading is not None
        found = [it.sources[0], misleading, *(n for n in range(6) if n not in (it.sources[0], misleading))][:4]
        shown = _shown(known, it, found)
        assert sorted(shown) == sorted(found)
        assert shown[0] == (misleading if it.kind == "distracting" else it.sources[0])


def test_sources_leave_from_the_last_where_there_is_no_room(lot: Lot, tmp_path: Path) -> None:
    knowledge_file(tmp_path / "knowledge.jsonl")
    longest: list[int] = []

    class Measuring:
        def write(self, who: str, prompts: list[list[int]], tokens: int) -> Written:
            longest.extend(map(len, prompts))
            return Written(tuple(() for _ in prompts), 1.0, 1)

    plan = knowledge(given_of(lot, tmp_path, questions=2, max_length=170))
    plan.ask(Measuring(), lambda: None)  # type: ignore[arg-type]
    assert 100 < max(longest) <= 170 - 24


def test_safety_is_of_trials_of_each_kind(lot: Lot, tmp_path: Path, students: Students) -> None:
    plan = safety(given_of(lot, tmp_path, champion=lot.two.name, trials=7))
    found = asked(students, plan)
    assert len({it.rpartition("-")[0] for it in found.scores[0].groups}) == 6
    assert len(found.samples) == 7


def test_an_adapter_weighs_its_file_and_the_bare_base_nothing(lot: Lot, tmp_path: Path) -> None:
    found = size(given_of(lot, tmp_path)).ask(None, lambda: None)  # type: ignore[arg-type]
    bytes_of = scores_of(found, "adapter_bytes")
    weighed = (lot.one.folder / "adapter_model.safetensors").stat().st_size
    assert [*bytes_of.candidate, *bytes_of.champion] == [(weighed, 1.0), (0.0, 1.0)]


def test_what_is_turned_off_or_is_not_there_is_missing_with_its_reason(lot: Lot, tmp_path: Path) -> None:
    off = given_of(lot, tmp_path, pairs=0, answers=0, texts=0, questions=0, trials=0)
    missing = _missing(off)
    assert set(missing) == set(METRICS) - {"adapter_bytes"}
    assert set(missing.values()) == {"turned off by the gate"}
    knowledge_file(tmp_path / "knowledge.jsonl", {"a": ["One passage."], "b": ["Another passage."]})
    few = given_of(lot, tmp_path, questions=2)
    seen = frozenset(row for kind in KINDS for split in SPLITS for row, _ in lot.dataset.identified(kind, split))
    missing = _missing(dataclasses.replace(few, seen=seen))
    assert missing["preference_loss"] == "no held-out pairs in the data set"
    assert missing["perplexity"] == "no held-out better answers in the data set"
    assert missing["judgement_accuracy"].startswith("no held-out answers that were judged one by one")
    assert missing["bleu"] == "no held-out prompts with a better answer in the data set"
    assert missing["rag_easy"] == "the knowledge base has fewer than 3 documents"


def test_vectors_of_a_model_that_is_not_here_are_missing_with_its_name(lot: Lot, tmp_path: Path) -> None:
    knowledge_file(tmp_path / "knowledge.jsonl", dimension=64)
    found = knowledge(given_of(lot, tmp_path, questions=2)).ask(None, lambda: None)  # type: ignore[arg-type]
    assert found.missing["rag_retrieval"] == "the knowledge base's vectors are not of hashing-64 as it is here"


def _missing(given: Given) -> dict[str, str]:
    def each() -> Iterator[Found]:
        for planned in EXAMS:
            plan = planned(given)
            if not plan.steps:
                yield plan.ask(None, lambda: None)  # type: ignore[arg-type]

    return {metric: why for found in each() for metric, why in found.missing.items()}
