"""A policy that cannot be used is told with file, line, rule and remedy; a good one has a digest of its rules."""

from pathlib import Path

import pytest

from libs.datasets import DEFAULT_POLICY, BadPolicyError, Policy, parse_policy, read_policy

HEAD = "name: mine\nversion: 2\n"


def test_the_shipped_policy_spells_out_every_default() -> None:
    found = read_policy()
    assert found == Policy(name="default", version=1)
    assert found.label == f"default@1-{found.digest[:12]}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no mapping"),
        ("- a\n", "holds no mapping"),
        ("name: x\n", 'line 1: "version" is missing: add it'),
        (HEAD + "juges: {}\n", 'line 3: "juges" is not known: did you mean judges?'),
        (HEAD + "judges:\n  agreement: 0.4\n", 'line 4: "judges.agreement": input should be greater than 0.5'),
        (HEAD + "judges:\n  minimun: 3\n", "did you mean minimum?"),
        (HEAD + "votes:\n  ratings: {up_from: 2, down_to: 4}\n", '"down_to" must be less than "up_from"'),
        (HEAD + "become:\n  edits: [kto]\n", 'line 4: "become.edits.0"'),
        (HEAD + "splits: {train: 0.9, validation: 0.2, test: 0.1}\n", "must sum up to 1"),
        (HEAD + "filters:\n  completion_characters: {minimum: 9, maximum: 3}\n", "must not be greater"),
        (HEAD + "version: 3\n", "line 3, column 1: this is no YAML (the name 'version' stands twice"),
        (HEAD + "judges: [\n", "this is no YAML"),
        (HEAD + "x: !!python/object/apply:os.system [ls]\n", "this is no YAML"),
        ("name: No Good\nversion: 1\n", 'line 1: "name"'),
        ("[" * 3000, "nested too deeply"),
        ("{a: 1}: b\n", "this is no YAML"),
        (HEAD + "near_duplicates: {similarity: .nan}\n", "near_duplicates.similarity"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_how_to_mend_it(content: str, told: str) -> None:
    with pytest.raises(BadPolicyError) as caught:
        parse_policy(content.encode(), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert told in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BadPolicyError, match=r"line 3: .*; line 4: "):
        parse_policy((HEAD + "juges: 1\ntenants: 5\n").encode())


def test_a_file_that_is_missing_too_large_or_not_utf8_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPolicyError, match="No such file"):
        read_policy(tmp_path / "none.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(BadPolicyError, match="more than"):
        read_policy(tmp_path / "big.yaml")
    with pytest.raises(BadPolicyError, match="not UTF-8"):
        parse_policy(b"name: \xff\n")


def test_the_digest_is_of_the_rules_and_not_of_how_they_are_written() -> None:
    short = parse_policy(b"version: 1\nname: default\n")
    assert short.digest == parse_policy(DEFAULT_POLICY.read_bytes()).digest
    assert parse_policy(b"name: default\nversion: 1\npairs_per_prompt: 5\n").digest != short.digest
