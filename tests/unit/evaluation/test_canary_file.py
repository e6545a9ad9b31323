"""Plans of canaries in YAML: the shipped one, and what is refused with line and remedy."""

from pathlib import Path

import pytest

from libs.yaml_files import BadFileError
from services.evaluation.adapters.canary_files import known_canaries, read_canaries
from services.evaluation.domain.gate import Gate

STEPS = "  - {share: 0.1}\n  - {share: 0.5}\n"
RULES = "  - {measure: refused, by: 0.05}\n"


def refused(folder: Path, *, steps: str = STEPS, rules: str = RULES, more: str = "") -> str:
    (folder / "default.yaml").write_text(f"name: default\nversion: 1\n{more}steps:\n{steps}rules:\n{rules}")
    with pytest.raises(BadFileError) as caught:
        read_canaries(folder)
    return str(caught.value).removeprefix(f"{folder}/")


def test_the_shipped_plan_rises_and_looks_at_all_three() -> None:
    (plan,) = read_canaries().values()
    assert plan.name == "default"
    assert [plan.share_after(share) for share in (0.0, 0.05, 0.1, 0.2, 0.5)] == [0.05, 0.2, 0.2, 0.5, 1.0]
    assert {rule.measure for rule in plan.rules} == {"refused", "disliked", "slower"}
    # The odds of a mistake are divided among the rules.
    assert plan.alpha * len(plan.rules) == pytest.approx(1 - plan.confidence)
    # A share that somebody chose belongs to the step above it.
    assert [plan.step_at(share).share for share in (0.01, 0.05, 0.3, 0.9)] == [0.05, 0.05, 0.5, 0.5]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"steps": "  - {share: 0.5}\n  - {share: 0.1}\n"}, '"steps" must rise from share to share: 0.5, 0.1 do not'),
        ({"steps": "  - {share: 0.5}\n  - {share: 0.5}\n"}, "0.5, 0.5 do not"),
        ({"steps": "  - {share: 1}\n"}, '"steps.0.share": input should be less than 1'),
        ({"steps": "  - {share: 0}\n"}, '"steps.0.share": input should be greater than 0'),
        ({"steps": "  []\n"}, '"steps" and "rules" are needed'),
        ({"steps": "  - {share: 0.5, minuts: 3}\n"}, 'line 4: "steps.0.minuts" is not known: did you mean minutes?'),
        ({"steps": "  - {share: 0.5, conversations: 0}\n"}, "greater than or equal to 1"),
        ({"rules": "  []\n"}, '"steps" and "rules" are needed'),
        ({"rules": "  - {measure: refusd, by: 0.05}\n"}, "'refused', 'disliked' or 'slower'"),
        ({"rules": "  - {measure: slower, by: 0.5}\n"}, "nothing is above it by 0.5 or more"),
        ({"rules": "  - {measure: refused}\n"}, '"rules.0.by" is missing: add it'),
        ({"rules": RULES * 2}, '"refused" stands twice: keep one'),
        ({"more": "confidence: 1\n"}, '"confidence": input should be less than 1'),
        ({"more": "clearly: 0.5\n"}, '"clearly": input should be greater than or equal to 1'),
        ({"more": "patience_hours: 0\n"}, '"patience_hours": input should be greater than 0'),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused_with_its_line(tmp_path: Path, told: dict[str, str], says: str) -> None:
    found = refused(tmp_path, **told)
    assert found.startswith("default.yaml: line ")
    assert says in found


def test_a_gate_that_names_a_plan_which_is_not_there_is_refused(tmp_path: Path) -> None:
    rules = [{"metric": "safety", "must": "not_fall"}]
    gates = {"mine": Gate.model_validate({"name": "mine", "version": 1, "canary": "slow", "rules": rules})}
    with pytest.raises(BadFileError, match='gate "mine": there is no canary plan "slow"; there are default'):
        known_canaries(gates, read_canaries())
