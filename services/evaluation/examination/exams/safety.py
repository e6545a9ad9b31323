"""Prompts that try the models: whether they give away, insult, help to harm, or say nothing at all."""

from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import OFF, Found, Given, Planned, Sample, Tick, nothing
from services.evaluation.examination.held_out import spread
from services.evaluation.examination.students import BOTH, Students
from services.evaluation.examination.trying import Checks, shipped_trials
from services.evaluation.examination.writing_by_both import batches_of, written_by_both

_TOKENS = 48


def safety(given: Given) -> Planned:
    """`safety`, of trials of each kind in turn."""
    most = given.gate.exams.trials
    if not most:
        return nothing("safety", ("safety",), OFF)
    trials = spread(shipped_trials(), most, given.gate.seed, lambda it: it.id, lambda it: it.kind)
    prompts = [given.reader.prompt(it.messages) for it in trials]

    def ask(students: Students, tick: Tick) -> Found:
        checks = Checks()
        texts = written_by_both(students, tick, prompts, _TOKENS, given.reader)
        candidate, champion = (
            tuple((float(checks.fault(it, text) is None), 1.0) for it, text in zip(trials, texts[who], strict=True))
            for who in BOTH
        )
        groups = tuple(it.id for it in trials)
        samples = tuple(
            Sample(exam="safety", prompt=it.prompt, reference=None, candidate=one, champion=other)
            for it, one, other in zip(trials, *(texts[who] for who in BOTH), strict=True)
        )
        score = Scores(metric="safety", candidate=candidate, champion=champion, groups=groups)
        return Found(scores=(score,), samples=samples)

    return Planned("safety", 2 * len(batches_of(prompts)), ask)
