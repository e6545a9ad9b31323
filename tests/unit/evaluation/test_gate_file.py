"""Gates in YAML: the shipped one, what is taken, and what is refused with line and remedy."""

from pathlib import Path

import pytest

from libs.yaml_files import BadFileError
from services.evaluation.adapters.gate_files import read_gates
from services.evaluation.domain.gate import Gate, Rule
from services.evaluation.domain.metrics import METRICS

ASKS_LITTLE = "  - {metric: safety, must: not_fall}\n"


def gate(folder: Path, rules: str = ASKS_LITTLE, *, name: str = "default", more: str = "") -> Path:
    (folder / f"{name}.yaml").write_text(f"name: {name}\nversion: 1\n{more}rules:\n{rules}")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(BadFileError) as caught:
        read_gates(folder)
    return str(caught.value).removeprefix(f"{folder}/")


def test_the_shipped_gate_asks_for_a_gain_and_guards_the_rest() -> None:
    (default,) = read_gates().values()
    assert default.name == "default"
    assert [rule.metric for rule in default.rules if rule.must == "improve"] == ["preference_accuracy"]
    guarded = {rule.metric for rule in default.rules}
    assert guarded >= {"general_perplexity", "safety", "rag_distracting", "seconds_per_token", "adapter_bytes"}
    assert guarded <= set(METRICS)
    # What every training can show is needed: a gate that passes over everything is none.
    assert {rule.metric for rule in default.rules if rule.needed} >= {
        "preference_accuracy",
        "general_perplexity",
        "safety",
    }


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{metric: safty, must: not_fall}", 'no metric is called "safty": did you mean safety?'),
        ("{metric: safety, must: improve, by: 1}", "safety cannot improve by 1: ask for less"),
        ("{metric: bleu, must: improve, by: 100.0}", "bleu cannot improve by 100: ask for less"),
        ("{metric: perplexity, must: improve, by: 1, relative: true}", "perplexity cannot improve by 1: ask for less"),
        ("{metric: safety, must: hold}", '"at_least" or "at_most" belongs to, and is needed by, "must: hold"'),
        ("{metric: safety, must: improve, at_least: 0.5}", '"at_least" or "at_most" belongs to'),
        ("{metric: safety, must: hold, at_least: 1.5}", "safety lies between 0 and 1: nothing can hold that"),
        ("{metric: perplexity, must: hold, at_most: 0.5}", "perplexity lies between 1 and inf: nothing can hold that"),
        ("{metric: safety, must: hold, at_least: 0.5, by: 1}", '"by" and "relative" compare with the champion'),
        ("{metric: safety, must: hold, at_least: 0.9, at_most: 0.5}", 'no number is "at_least" the one'),
        ("{metric: safety, must: improve, by: -1}", '"rules.0.by": input should be greater than or equal to 0'),
        ("{metric: safety, must: rise}", "'improve', 'not_fall' or 'hold'"),
        ("{metric: safety, must: improve, bye: 1}", '"rules.0.bye" is not known: did you mean by?'),
        ("{metric: safety}", '"rules.0.must" is missing: add it'),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_with_its_line(tmp_path: Path, rule: str, says: str) -> None:
    found = refused(gate(tmp_path, f"  - {rule}\n"))
    assert says in found
    assert found.startswith("default.yaml: line 4: ")


@pytest.mark.parametrize(
    ("rules", "more", "says"),
    [
        (ASKS_LITTLE * 2, "", '"safety" stands twice with "must: not_fall": keep one'),
        ("  []\n", "", '"rules" is empty: a gate that asks nothing is none'),
        (ASKS_LITTLE, "confidence: 0.4\n", 'line 3: "confidence"'),
        (ASKS_LITTLE, "exams: {pears: 3}\n", '"exams.pears" is not known: did you mean pairs?'),
        (ASKS_LITTLE, "judge: {kind: endpoint}\n", '"url" and "model" are needed by "kind: endpoint"'),
        (ASKS_LITTLE, "judge: {kind: python}\n", '"function" belongs to, and is needed by, "kind: python"'),
        (ASKS_LITTLE, "judge: {url: 'http://a/v1'}\n", '"url" belongs to "kind: endpoint"'),
        (ASKS_LITTLE, "judge: {kind: endpoint, url: 'file:///a', model: m}\n", '"judge.url"'),
    ],
)
def test_a_gate_that_does_not_fit_together_is_refused(tmp_path: Path, rules: str, more: str, says: str) -> None:
    assert says in refused(gate(tmp_path, rules, more=more))


def test_improving_without_end_is_possible_where_the_metric_has_none() -> None:
    assert Rule(metric="perplexity", must="improve", by=50).by == 50
    assert Rule(metric="safety", must="improve", by=3, relative=True).by == 3


def test_a_folder_needs_the_gate_that_is_asked_where_none_is_named(tmp_path: Path) -> None:
    gate(tmp_path, name="strict")
    assert 'none of its gates has the name "default"' in refused(tmp_path)
    assert set(read_gates(gate(tmp_path))) == {"default", "strict"}


def test_a_changed_rule_is_another_gate() -> None:
    rule = {"metric": "safety", "must": "not_fall"}
    one, other = (Gate.model_validate({"name": "g", "version": 1, "rules": [{**rule, "by": by}]}) for by in (0.1, 0.2))
    assert one.label != other.label
    assert one.label.startswith("g@1-")
