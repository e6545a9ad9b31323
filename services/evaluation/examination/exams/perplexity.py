"""How likely the models find texts: better answers that were held out, and plain texts on everyday things."""

import json
from collections.abc import Sequence
from pathlib import Path

from libs.datasets import Kind
from schemas.evaluation import MetricName
from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import OFF, Found, Given, Planned, Tick, nothing
from services.evaluation.examination.held_out import held_out, sample
from services.evaluation.examination.likelihood import batches
from services.evaluation.examination.students import BOTH, Students
from services.evaluation.examination.tokens import Tokens

_COLUMNS: tuple[tuple[Kind, str], ...] = (("sft", "completion"), ("dpo", "chosen"))
_TEXTS = Path(__file__).resolve().parents[1] / "texts" / "general.jsonl"


def perplexity(given: Given) -> Planned:
    """`perplexity`, of completions to imitate; where there are none, of the chosen answers of pairs."""
    name, most = "perplexity", given.gate.exams.pairs
    if not most:
        return nothing(name, (name,), OFF)
    for kind, column in _COLUMNS:
        rows = sample(held_out(given.case.dataset, kind, given.seen), most, given.gate.seed, lambda row: row.asked)
        read = [(row.group, given.reader.completions(row.body["prompt"], row.body[column])) for row in rows]
        if texts := [(group, found[0]) for group, found in read if found is not None]:
            return _likely(given, name, name, texts)
    return nothing(name, (name,), "no held-out better answers in the data set")


def general(given: Given) -> Planned:
    """`general_perplexity`, of texts that come with Tailrace."""
    name, metric, most = "general", "general_perplexity", given.gate.exams.texts
    if not most:
        return nothing(name, (metric,), OFF)
    told = [json.loads(line) for line in _TEXTS.read_text(encoding="utf-8").splitlines()]
    drawn = sample(told, most, given.gate.seed, lambda it: str(it["id"]))
    return _likely(given, name, metric, [(it["id"], given.reader.text(it["text"])) for it in drawn])


def _likely(given: Given, name: str, metric: MetricName, asked: Sequence[tuple[str, Tokens]]) -> Planned:
    texts, groups = [text for _, text in asked], tuple(group for group, _ in asked)

    def ask(students: Students, tick: Tick) -> Found:
        candidate, champion = (
            tuple((-it.total, float(it.tokens)) for it in students.likelihoods(who, texts, tick)) for who in BOTH
        )
        return Found(scores=(Scores(metric=metric, candidate=candidate, champion=champion, groups=groups),))

    return Planned(name, 2 * len(batches(texts, given.device)), ask)
