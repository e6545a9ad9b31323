"""From examples to rows: votes and edits of one answer. What takes two answers is in `_pairs`."""

import json
from collections.abc import Iterator

from libs.datasets._filters import fault_of
from libs.datasets._names import Kind
from libs.datasets._rows import Candidate, as_text, case_of, chat, merged, origin_of, row_id, said
from libs.datasets._tally import Tally
from libs.datasets._verdicts import LeftOut, Verdict, last_of_each_judge, passed_over, usable, verdict
from libs.datasets._workbench import Workbench, digest, mark
from libs.datasets.policy import Policy
from schemas.feedback import ExampleRecorded, Judgement


class Derivation:
    """Reads the examples on the bench and puts rows there."""

    def __init__(self, bench: Workbench, policy: Policy, tally: Tally) -> None:
        self._bench, self._policy, self._tally = bench, policy, tally
        self._capped = False

    def run(self) -> None:
        """All examples."""
        self._cap()
        for at, example in self._bench.examples():
            self._take(at, example)

    # -- who counts ---------------------------------------------------------------------------------------------

    def _cap(self) -> None:
        """Chooses, by hash, which judgements of a busy person count."""
        if (most := self._policy.judges.judgements_per_subject) is None:
            return
        db = self._bench.db
        db.executemany("INSERT INTO turns VALUES (?, ?)", self._turns())
        ranked = "SELECT mark, ROW_NUMBER() OVER (PARTITION BY subject ORDER BY mark) AS turn FROM turns"
        found = db.execute(f"INSERT OR IGNORE INTO capped SELECT mark FROM ({ranked}) WHERE turn > ?", (most,))  # noqa: S608 - no value is in it
        self._capped = found.rowcount > 0

    def _turns(self) -> Iterator[tuple[int, int]]:
        for _, example in self._bench.examples():
            if passed_over(example, self._policy) is None:
                for judgement in usable(example, self._policy, lambda _: None):
                    if judgement.subject is not None:
                        yield mark(example.tenant, judgement.subject), _mark(example, judgement)

    def judgements(self, example: ExampleRecorded, left_out: LeftOut) -> list[Judgement]:
        """Those that count."""
        found = usable(example, self._policy, left_out)
        return [it for it in found if not self._is_capped(example, it, left_out)] if self._capped else found

    def _is_capped(self, example: ExampleRecorded, judgement: Judgement, left_out: LeftOut) -> bool:
        sql = "SELECT 1 FROM capped WHERE mark = ?"
        if judgement.subject is None or not self._bench.db.execute(sql, (_mark(example, judgement),)).fetchone():
            return False
        left_out("over-the-cap")
        return True

    # -- one answer ---------------------------------------------------------------------------------------------

    def _take(self, at: int, example: ExampleRecorded) -> None:
        self._tally.read["examples"] += 1
        self._tally.read["judgements"] += len(example.judgements)
        if (reason := passed_over(example, self._policy)) is not None:
            self._tally.leave_out("examples", reason)
            return
        judgements = self.judgements(example, self._tally.judgement)
        edits = [it for it in judgements if it.kind == "edit"]
        choices = [it for it in judgements if it.kind == "choice"]
        found = verdict(judgements, self._policy, self._tally.judgement)
        if isinstance(found, Verdict):
            self._judged(at, example, found)
        elif found != "not-judged" or not (edits or choices):
            self._tally.leave_out("examples", found)
        for edit in last_of_each_judge(edits, self._tally.judgement):
            self._edited(example, edit)
        for choice in choices:
            self._chosen(example, choice)

    def _judged(self, at: int, example: ExampleRecorded, found: Verdict) -> None:
        prompt, become = chat(example.messages), self._policy.become
        body = {"prompt": prompt, "completion": said(example.text)}
        if "kto" in become.votes:
            self.add(Candidate("kto", {**body, "label": found.up}, "votes", (example,), found.feedback))
        if "sft" in become.votes and found.up:
            self.add(Candidate("sft", body, "votes", (example,), found.feedback))
        if become.siblings:
            asked, said_then = digest(as_text(prompt)), digest(example.text)
            row = (example.tenant, asked, said_then, found.up, mark(example.response_id), at)
            self._bench.db.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)

    def _edited(self, example: ExampleRecorded, edit: Judgement) -> None:
        prompt, better, rests_on = chat(example.messages), said(str(edit.value)), (edit.feedback_id,)
        for kind in self._policy.become.edits:
            worse = {"prompt": prompt, "chosen": better, "rejected": said(example.text)}
            body = worse if kind == "dpo" else {"prompt": prompt, "completion": better}
            self.add(Candidate(kind, body, "edit", (example,), rests_on))

    def _chosen(self, example: ExampleRecorded, choice: Judgement) -> None:
        if self._policy.become.choices:
            low, high = sorted((example.response_id, str(choice.value)))
            row = (example.tenant, low, high, example.response_id, choice.model_dump_json())
            self._bench.db.execute("INSERT INTO choices VALUES (?, ?, ?, ?, ?)", row)

    # -- rows ---------------------------------------------------------------------------------------------------

    def add(self, candidate: Candidate) -> None:
        """Puts a row on the bench if it is good enough, or joins it to its copy there."""
        if (fault := fault_of(candidate, self._policy.filters)) is not None:
            self._tally.leave_out("rows", fault)
            return
        kind: Kind = candidate.kind
        text, origin = as_text(candidate.body), origin_of(candidate)
        row = row_id(kind, text)
        known = self._bench.insert_row(kind, row, case_of(kind, candidate.body), as_text(origin), text)
        if known is not None:
            self._tally.leave_out("rows", "copy")
            self._bench.set_lineage(kind, row, as_text(merged(json.loads(known), origin)))


def _mark(example: ExampleRecorded, judgement: Judgement) -> int:
    return mark(example.tenant, example.response_id, judgement.feedback_id)
