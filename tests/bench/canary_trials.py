"""How soon a canary ends, by simulated trials of the shipped plan: `python -m tests.bench.canary_trials [TRIALS]`.

Prints, for candidates of several kinds, how many trials were rolled back or went through, and on how many of the
candidate's conversations. It is looked after every tenth conversation; time passes as quickly as it may.
"""

import random
import statistics
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from libs.model_registry import Turn
from services.evaluation.adapters.canary_files import read_canaries
from services.evaluation.domain.trial import Arm, Trial
from services.evaluation.domain.watching import decide

Rates = Mapping[str, tuple[float, float]]
"""By measure, the candidate's and the champion's; of pairs of which one is slower, the candidate's share."""
START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK, MOST, JUDGED = 10, 40_000, 0.1
KINDS: Mapping[str, Rates] = {
    "as good": {"refused": (0.01, 0.01), "disliked": (0.2, 0.2), "slower": (0.5, 0)},
    "refused 10 % instead of 1 %": {"refused": (0.10, 0.01), "disliked": (0.2, 0.2), "slower": (0.5, 0)},
    "refused 30 % instead of 1 %": {"refused": (0.30, 0.01), "disliked": (0.2, 0.2), "slower": (0.5, 0)},
    "disliked 50 % instead of 20 %": {"refused": (0.01, 0.01), "disliked": (0.5, 0.2), "slower": (0.5, 0)},
    "disliked 90 % instead of 20 %": {"refused": (0.01, 0.01), "disliked": (0.9, 0.2), "slower": (0.5, 0)},
    "slower in 9 of 10 pairs": {"refused": (0.01, 0.01), "disliked": (0.2, 0.2), "slower": (0.9, 0)},
}


def one_trial(rates: Rates, chance: random.Random) -> tuple[str, int]:
    """How it ended, and on how many of the candidate's conversations."""
    (plan,) = read_canaries().values()
    trial, mine, now = Trial(model="new", champion="old"), 0, START
    turns = [_turn(1, plan.steps[0].share)]
    for number in range(1, MOST):
        seen, arm = trial.at(turns[-1].revision), _arm(turns[-1].share, chance)
        mine += arm == "candidate"
        column = 0 if arm == "candidate" else 1
        seen.refused[arm].count(bad=chance.random() < rates["refused"][column])
        if chance.random() < JUDGED:
            seen.disliked[arm].count(bad=chance.random() < rates["disliked"][column])
        if arm == "candidate" and chance.random() < 0.5:
            seen.slower[arm].count(bad=chance.random() < rates["slower"][0])
        if arm == "champion" or mine % LOOK or number < LOOK:
            continue
        now = turns[-1].at + timedelta(minutes=plan.step_at(turns[-1].share).minutes)
        found = decide(plan, turns, trial, now)
        if found.next == "roll_back" or found.share == 1:
            return ("rolled back" if found.next == "roll_back" else "all", mine)
        if found.share is not None:
            turns.append(_turn(len(turns) + 1, found.share))
    return "open", mine


def _arm(share: float, chance: random.Random) -> Arm:
    return "candidate" if chance.random() < share else "champion"


def _turn(revision: int, share: float) -> Turn:
    return Turn(revision=revision, action="promote", request_id="q", model="new", share=share, at=START)


def main() -> None:
    """Prints the table."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    table = Table("candidate", "rolled back", "all", "open", "conversations: median", "9 of 10 within", box=None)
    for kind, rates in KINDS.items():
        chance = random.Random(20260302)
        ends = [one_trial(rates, chance) for _ in range(trials)]
        counts = [str(sum(end == wanted for end, _ in ends)) for wanted in ("rolled back", "all", "open")]
        sizes = sorted(size for _, size in ends)
        table.add_row(kind, *counts, str(round(statistics.median(sizes))), str(sizes[int(0.9 * (len(sizes) - 1))]))
    Console(width=120).print(table, f"of {trials} trials each; one answer in ten is judged")


if __name__ == "__main__":
    main()
