"""Policies: tenants override the default, bad files say how to mend them, and no change opens the gate by accident."""

from collections.abc import Callable
from pathlib import Path

import pytest

from libs.bus import Retryable
from services.safety.adapters._policy_files import BadPolicyError
from services.safety.adapters.policy_folder import PolicyFolder
from services.safety.settings import SHIPPED_POLICIES

DEFAULT = (SHIPPED_POLICIES / "default.yaml").read_text()


class Folder:
    """A folder of policies with a clock that moves when asked, and a list of what was reported."""

    def __init__(self, path: Path, **tenants: str) -> None:
        self.path, self.now, self.reports = path, 0.0, list[tuple[str, str]]()
        self.write(**({"default": DEFAULT} | tenants))
        self.policies = PolicyFolder(path, now=lambda: self.now, report=lambda *report: self.reports.append(report))

    def write(self, **tenants: str) -> None:
        self.now = getattr(self, "now", 0.0) + 10
        for tenant, text in tenants.items():
            (self.path / f"{tenant}.yaml").write_text(text)

    def remove(self, tenant: str) -> None:
        self.now += 10
        (self.path / f"{tenant}.yaml").unlink()


def test_a_tenants_file_changes_what_it_names_and_nothing_else(write_policies: Callable[..., PolicyFolder]) -> None:
    policies = write_policies(acme="personal_data: {entities: {EMAIL_ADDRESS: {action: refuse}}}")
    acme, other = policies.policy_for("acme"), policies.policy_for("other")
    assert (acme.personal_data.action("EMAIL_ADDRESS"), other.personal_data.action("EMAIL_ADDRESS")) == (
        "refuse",
        "mask",
    )
    assert acme.personal_data.action("API_KEY") == "mask"
    assert acme.personal_data.restorable("API_KEY") is False
    assert acme.injection == other.injection


def test_a_label_names_the_policy_and_changes_with_its_content(write_policies: Callable[..., PolicyFolder]) -> None:
    policies = write_policies(acme="chunks: {enabled: false}", twin="name: acme\nchunks: {enabled: false}")
    label = policies.policy_for("acme").label
    assert label.startswith("acme@")
    assert label == policies.policy_for("twin").label
    assert label.partition("@")[2] != policies.policy_for("default").label.partition("@")[2]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("injecton: {}", "injecton: unknown; did you mean injection?"),
        (
            "personal_data: {entities: {EMAIL_ADRESS: {action: mask}}}",
            "EMAIL_ADRESS: unknown; did you mean EMAIL_ADDRESS?",
        ),
        (
            "personal_data: {entities: {IBAN: {action: hide}}}",
            "personal_data.entities.IBAN.action: input should be 'allow'",
        ),
        ("injection: {user: {action: drop}}", "injection.user.action: input should be 'allow', 'flag' or 'refuse'"),
        (
            "answer: {toxicity: {threshold: 3}}",
            "answer.toxicity.threshold: input should be less than or equal to 1, not 3",
        ),
        ("personal_data: {entities: {IBAN: {restore: true}}}", "personal_data.entities.IBAN.action: missing"),
        ("chunks: [", "not YAML"),
        ("name: a\nname: b", "'name' stands twice"),
        ("- a list", "holds no mapping"),
        ("", "holds no mapping"),
    ],
)
def test_a_bad_policy_stops_the_start_and_says_file_place_and_remedy(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadPolicyError) as caught:
        Folder(tmp_path, acme=text)
    assert "acme.yaml" in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["acme.yml", "acme.json", "-acme.yaml"])
def test_a_file_that_would_be_passed_over_in_silence_stops_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("chunks: {enabled: false}")
    with pytest.raises(BadPolicyError, match=r"call it <tenant>\.yaml"):
        Folder(tmp_path)


def test_without_a_default_there_is_no_start(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(BadPolicyError, match=r"default\.yaml|POLICY_DIR"):
            PolicyFolder(folder, now=lambda: 0.0, report=lambda *_: None)


def test_a_changed_file_takes_effect_and_is_reported(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write(acme="chunks: {enabled: false}")
    assert folder.policies.policy_for("acme").chunks.enabled is False
    assert [what for what, _ in folder.reports] == ["loaded"]


def test_a_file_that_became_bad_leaves_the_last_good_rules_in_force(tmp_path: Path) -> None:
    folder = Folder(tmp_path, acme="chunks: {enabled: false}")
    folder.write(acme="chunks: {enabled: perhaps}")
    assert folder.policies.policy_for("acme").chunks.enabled is False
    ((what, why),) = folder.reports
    assert what == "kept last good"
    assert "acme.yaml" in why


def test_while_a_policy_file_is_gone_those_it_governs_wait(tmp_path: Path) -> None:
    folder = Folder(tmp_path, acme="chunks: {enabled: false}")
    folder.remove("acme")
    with pytest.raises(Retryable, match=r"acme\.yaml is gone"):
        folder.policies.policy_for("acme")
    assert folder.policies.policy_for("other").chunks.enabled
    folder.write(acme="chunks: {enabled: false}")
    assert folder.policies.policy_for("acme").chunks.enabled is False


def test_while_the_default_is_gone_everybody_waits(tmp_path: Path) -> None:
    folder = Folder(tmp_path, acme="chunks: {enabled: false}")
    folder.remove("default")
    for tenant in ("acme", "other"):
        with pytest.raises(Retryable):
            folder.policies.policy_for(tenant)
    assert ("file gone", "default") in folder.reports


def test_the_folder_is_not_looked_at_more_often_than_asked(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "default.yaml").unlink()
    folder.policies.policy_for("acme")
    folder.now += 10
    with pytest.raises(Retryable):
        folder.policies.policy_for("acme")
