"""Held-out prompts that both models answer: against the better answer, against each other, against the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from rapidfuzz.distance import LCSseq
from sacrebleu.metrics.bleu import BLEU

from schemas.evaluation import MetricName
from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import OFF, Found, Given, Planned, Sample, Tick, nothing
from services.evaluation.examination.held_out import Row, held_out, sample
from services.evaluation.examination.judges import Compared, Judge, judge_of
from services.evaluation.examination.students import BOTH, Students, Who
from services.evaluation.examination.tokens import Chat, Reader
from services.evaluation.examination.writing import Written

METRICS: tuple[MetricName, ...] = ("bleu", "rouge_l", "win_rate", "seconds_per_token")
_AT_ONCE = 8
_BATCHES = 8
"""At least, where there are as many prompts: a batch is one look at the clock."""
_BLEU = BLEU(force=True)


_Both = tuple[tuple[float, ...], tuple[float, ...]]
"""One item's numbers, of candidate and champion."""


@dataclass(frozen=True)
class _Asked:
    """`prompt`: its tokens."""

    group: str
    messages: Chat
    prompt: list[int]
    reference: str


def answers(given: Given) -> Planned:
    """`bleu`, `rouge_l`, `win_rate` and `seconds_per_token`."""
    exams = given.gate.exams
    if not exams.answers:
        return nothing("answers", METRICS, OFF)
    judge = judge_of(given.gate.judge, given.judge_key, given.case.exam.threads)
    read = (_asked(given.reader, row, column) for row, column in _referenced(given))
    asked = list(islice((it for it in read if len(it.prompt) < given.reader.most), exams.answers))
    if not asked:
        return nothing("answers", METRICS, "no held-out prompts with a better answer in the data set")
    size = min(_AT_ONCE, -(-len(asked) // _BATCHES))
    ordered = sorted(asked, key=lambda it: len(it.prompt))
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    ask = partial(_ask, groups=groups, tokens=exams.answer_tokens, reader=given.reader, judge=judge)
    return Planned("answers", 2 * len(groups), ask)


def _referenced(given: Given) -> list[tuple[Row, str]]:
    """Rows with a better answer, by lot, each prompt once; and in which column it is."""
    dataset, seen = given.case.dataset, given.seen
    found = [(row, "completion") for row in held_out(dataset, "sft", seen)]
    found += [(row, "chosen") for row in held_out(dataset, "dpo", seen)]
    once = {row.asked: (row, column) for row, column in reversed(found)}
    return [it for _, it in sample(once.items(), len(once), given.gate.seed, lambda it: it[0])]


def _asked(reader: Reader, row: Row, column: str) -> _Asked:
    messages = [*row.body["prompt"], *row.body[column][:-1]]
    return _Asked(row.group, messages, reader.prompt(messages), row.said(column))


def _ask(
    students: Students, tick: Tick, *, groups: Sequence[Sequence[_Asked]], tokens: int, reader: Reader, judge: Judge
) -> Found:
    written = _by_turns(students, tick, [[it.prompt for it in group] for group in groups], tokens)
    asked = [it for group in groups for it in group]
    texts = {who: [reader.written(ids) for batch in written[who] for ids in batch.answers] for who in BOTH}
    pairs = list(zip(asked, texts["candidate"], texts["champion"], strict=True))
    wins = judge.judge([Compared(told(it.messages), one, other, it.reference) for it, one, other in pairs])
    by_group = tuple(it.group for it in asked)
    numbers: dict[MetricName, list[_Both]] = {
        "bleu": [(_bleu(one, it.reference), _bleu(other, it.reference)) for it, one, other in pairs],
        "rouge_l": [((_rouge(one, it.reference), 1.0), (_rouge(other, it.reference), 1.0)) for it, one, other in pairs],
        "win_rate": [((win, 1.0), (1.0 - win, 1.0)) for win in wins],
    }
    scores = [_scores(metric, found, by_group) for metric, found in numbers.items()]
    samples = tuple(
        Sample(exam="answers", prompt=it.messages[-1]["content"], reference=it.reference, candidate=one, champion=other)
        for it, one, other in pairs
    )
    clocked = [(one, other) for one, other in zip(*(written[who] for who in BOTH), strict=True)
               if one.tokens and other.tokens]  # fmt: skip
    if not clocked:
        missing = {"seconds_per_token": "no answer was longer than a token"}
        return Found(scores=tuple(scores), missing=missing, samples=samples)
    speed: list[_Both] = [
        ((one.seconds, float(one.tokens)), (other.seconds, float(other.tokens))) for one, other in clocked
    ]
    batches = tuple(f"batch-{number}" for number in range(len(clocked)))
    return Found(scores=(*scores, _scores("seconds_per_token", speed, batches)), samples=samples)


def _by_turns(
    students: Students, tick: Tick, prompts: Sequence[Sequence[Sequence[int]]], tokens: int
) -> dict[Who, list[Written]]:
    """Each batch by both, now the one first and now the other: what else goes on here slows both alike."""
    found: dict[Who, list[Written]] = {who: [] for who in BOTH}
    for who in BOTH:
        # What is made at first use is not counted.
        students.write(who, prompts[0], 4)
    for number, batch in enumerate(prompts):
        for who in BOTH if number % 2 == 0 else BOTH[::-1]:
            found[who].append(students.write(who, batch, tokens))
            tick()
    return found


def told(messages: Chat) -> str:
    """A prompt as text: what was asked, or who said what."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{it['role'].capitalize()}: {it['content']}" for it in messages)


def _scores(metric: MetricName, numbers: Sequence[_Both], groups: tuple[str, ...]) -> Scores:
    candidate, champion = zip(*numbers, strict=True)
    return Scores(metric=metric, candidate=candidate, champion=champion, groups=groups)


def _bleu(text: str, reference: str) -> tuple[float, ...]:
    """Lengths in tokens of both, then correct n-grams and n-grams, n from 1 to 4 (Papineni et al. 2002)."""
    found = _BLEU.corpus_score([text], [[reference]])
    return tuple(map(float, (found.sys_len, found.ref_len, *found.counts, *found.totals)))


def _rouge(text: str, reference: str) -> float:
    """F1 of the longest common sequence of words (Lin 2004)."""
    said, wanted = text.lower().split(), reference.lower().split()
    return 2 * LCSseq.similarity(said, wanted) / (len(said) + len(wanted)) if said and wanted else 0.0
