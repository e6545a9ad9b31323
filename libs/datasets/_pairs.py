"""DPO rows of two answers: choices that people made, and siblings that were judged oppositely."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from libs.datasets._derive import Derivation
from libs.datasets._names import Origin, Reason
from libs.datasets._rows import Candidate, chat, said
from libs.datasets._tally import Tally, unnoted
from libs.datasets._verdicts import Verdict, last_of_each_judge, majority, passed_over, verdict
from libs.datasets._workbench import Workbench
from libs.datasets.policy import Policy
from schemas.feedback import ExampleRecorded, Judgement


class Pairing:
    """Reads the votes on the bench and puts rows there."""

    def __init__(self, bench: Workbench, policy: Policy, tally: Tally, derivation: Derivation) -> None:
        self._bench, self._policy, self._tally, self._derivation = bench, policy, tally, derivation

    def run(self) -> None:
        """Choices, then siblings."""
        choices = self._bench.db.execute("SELECT * FROM choices ORDER BY tenant, low, high, winner, body")
        for (_, low, high), votes in groupby(choices, key=itemgetter(0, 1, 2)):
            if (reason := self._choose(low, high, [(row[3], row[4]) for row in votes])) is not None:
                self._tally.leave_out("rows", reason)
        answers = self._bench.db.execute("SELECT * FROM answers ORDER BY tenant, prompt, text, mark")
        for _, siblings in groupby(answers, key=itemgetter(0, 1)):
            for liked, disliked in self._opposites(siblings):
                self._pair_siblings(liked, disliked)

    # -- choices ------------------------------------------------------------------------------------------------

    def _choose(self, low: str, high: str, votes: list[tuple[str, str]]) -> Reason | None:
        """Adds the row of one pair, or says why there is none."""
        said_of = [(Judgement.model_validate_json(body), winner) for winner, body in votes]
        winner_of = {judgement.feedback_id: winner for judgement, winner in said_of}
        judges = last_of_each_judge((judgement for judgement, _ in said_of), self._tally.judgement)
        sides = [winner_of[judgement.feedback_id] == low for judgement in judges]
        found = majority(sides, self._policy.judges)
        if isinstance(found, str):
            return found
        chosen, rejected = map(self._bench.example, (low, high) if found else (high, low))
        if chosen is None or rejected is None or chosen.tenant != rejected.tenant:
            return "partner-unknown"
        if passed_over(chosen, self._policy) or passed_over(rejected, self._policy):
            return "reported"
        feedback = tuple(it.feedback_id for it, side in zip(judges, sides, strict=True) if side is found)
        return self._pair(chosen, rejected, "choice", feedback)

    def _pair(
        self, chosen: ExampleRecorded, rejected: ExampleRecorded, origin: Origin, feedback: tuple[str, ...]
    ) -> Reason | None:
        prompt = chat(chosen.messages)
        if chat(rejected.messages) != prompt:
            return "other-prompt"
        if chosen.text == rejected.text:
            return "same-text"
        body = {"prompt": prompt, "chosen": said(chosen.text), "rejected": said(rejected.text)}
        self._derivation.add(Candidate("dpo", body, origin, (chosen, rejected), feedback))
        return None

    # -- siblings -----------------------------------------------------------------------------------------------

    def _opposites(self, siblings: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, int]]:
        """Places of answers to one prompt, liked and disliked: each text in one pair at most, so many pairs."""
        most = self._policy.pairs_per_prompt
        sides: dict[bool, list[int]] = {True: [], False: []}
        for _, same_text in groupby(siblings, key=itemgetter(2)):
            rows = [(bool(row[3]), row[5]) for row in same_text]
            up = majority([liked for liked, _ in rows], self._policy.judges.model_copy(update={"minimum": 1}))
            if isinstance(up, bool) and len(sides[up]) < most:
                sides[up].append(next(at for liked, at in rows if liked is up))
        yield from zip(sides[True], sides[False], strict=False)

    def _pair_siblings(self, liked: int, disliked: int) -> None:
        chosen, rejected = self._bench.example_at(liked), self._bench.example_at(disliked)
        feedback = (*self._support(chosen), *self._support(rejected))
        reason = self._pair(chosen, rejected, "siblings", feedback)
        assert reason is None, "siblings have the same prompt and different texts"

    def _support(self, example: ExampleRecorded) -> tuple[str, ...]:
        found = verdict(self._derivation.judgements(example, unnoted), self._policy, unnoted)
        assert isinstance(found, Verdict)
        return found.feedback
