"""Held-out judgements of people: whether the models find likelier what was liked. Nothing is written."""

import math
from collections.abc import Callable, Iterable, Sequence

from libs.datasets import Dataset, DatasetError, Datasets
from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import OFF, Found, Given, Planned, Tick, nothing
from services.evaluation.examination.held_out import held_out, sample
from services.evaluation.examination.likelihood import Likelihood, batches
from services.evaluation.examination.students import BOTH, Students, Who
from services.evaluation.examination.tokens import Tokens


def preferences(given: Given) -> Planned:
    """`preference_accuracy` and `preference_loss`, of pairs."""
    name, metrics, most = "preferences", ("preference_accuracy", "preference_loss"), given.gate.exams.pairs
    if not most:
        return nothing(name, metrics, OFF)
    texts, groups = _pairs(given, given.case.dataset)
    if not texts:
        return nothing(name, metrics, "no held-out pairs in the data set")

    def ask(students: Students, tick: Tick) -> Found:
        margins = [_margins(students.likelihoods(who, texts, tick)) for who in BOTH]
        return Found(
            scores=(
                _scores("preference_accuracy", _sign, margins, groups),
                _scores("preference_loss", _loss, margins, groups),
            )
        )

    return Planned(name, 2 * len(batches(texts, given.device)), ask)


def retained(given: Given) -> Planned:
    """`retained_accuracy`: whether the candidate still knows what the champion was taught, whatever it was taught."""
    name, metrics, champion = "retained", ("retained_accuracy",), given.case.champion
    if not given.gate.exams.pairs:
        return nothing(name, metrics, OFF)
    if champion is None:
        return nothing(name, metrics, "the bare base serves, which was taught nothing here")
    try:
        dataset = Datasets(given.case.exam.datasets).open(champion.card.trained.dataset)
    except DatasetError as error:
        return nothing(name, metrics, f"what the champion was taught is gone: {error}")
    texts, groups = _pairs(given, dataset)
    if not texts:
        return nothing(name, metrics, "no held-out pairs in the data set that the champion was trained on")

    def ask(students: Students, tick: Tick) -> Found:
        margins = [_margins(students.likelihoods(who, texts, tick)) for who in BOTH]
        return Found(scores=(_scores("retained_accuracy", _sign, margins, groups),))

    return Planned(name, 2 * len(batches(texts, given.device)), ask)


def _pairs(given: Given, dataset: Dataset) -> tuple[list[Tokens], tuple[str, ...]]:
    """Chosen and rejected of each held-out pair by turns, and the pairs' groups."""
    most, seed = given.gate.exams.pairs, given.gate.seed
    rows = sample(held_out(dataset, "dpo", given.seen), most, seed, lambda row: row.asked)
    read = [(row.group, given.reader.completions(*(row.body[it] for it in _PAIR))) for row in rows]
    pairs = [(group, pair) for group, pair in read if pair is not None]
    return [text for _, pair in pairs for text in pair], tuple(group for group, _ in pairs)


def _scores(
    metric: str, of: Callable[[float], float], margins: Sequence[Sequence[float]], groups: tuple[str, ...]
) -> Scores:
    candidate, champion = (_numbers(map(of, found)) for found in margins)
    return Scores(metric=metric, candidate=candidate, champion=champion, groups=groups)


def judgements(given: Given) -> Planned:
    """`judgement_accuracy`, of answers that were judged one by one."""
    name, metrics, most = "judgements", ("judgement_accuracy",), given.gate.exams.pairs
    if not most:
        return nothing(name, metrics, OFF)
    rows = sample(held_out(given.case.dataset, "kto", given.seen), most, given.gate.seed, lambda row: row.asked)
    read = [(row, given.reader.completions(row.body["prompt"], row.body["completion"])) for row in rows]
    judged = [(row, found[0]) for row, found in read if found is not None]
    if not judged:
        return nothing(name, metrics, "no held-out answers that were judged one by one in the data set")
    texts, liked = [text for _, text in judged], [row.body["label"] is True for row, _ in judged]

    def ask(students: Students, tick: Tick) -> Found:
        base = [it.mean for it in students.likelihoods("base", texts, tick)]

        def rights(who: Who) -> Iterable[float]:
            gains = (it.mean - was for it, was in zip(students.likelihoods(who, texts, tick), base, strict=True))
            return (_sign(gain if good else -gain) for gain, good in zip(gains, liked, strict=True))

        candidate, champion = (_numbers(rights(who)) for who in BOTH)
        groups = tuple(row.group for row, _ in judged)
        score = Scores(metric="judgement_accuracy", candidate=candidate, champion=champion, groups=groups)
        return Found(scores=(score,))

    return Planned(name, 3 * len(batches(texts, given.device)), ask)


_PAIR = ("prompt", "chosen", "rejected")


def _margins(found: Sequence[Likelihood]) -> list[float]:
    """Of chosen and rejected by turns, in nats per token."""
    return [chosen.mean - rejected.mean for chosen, rejected in zip(found[::2], found[1::2], strict=True)]


def _sign(margin: float) -> float:
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def _loss(margin: float) -> float:
    """-log sigmoid, also where its exponential has no number."""
    return math.log1p(math.exp(-abs(margin))) + max(-margin, 0.0)


def _numbers(values: Iterable[float]) -> tuple[tuple[float, ...], ...]:
    return tuple((value, 1.0) for value in values)
