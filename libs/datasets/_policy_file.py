"""Reads a policy from YAML."""

from pathlib import Path

from libs.datasets.policy import Policy
from libs.yaml_files import BadFileError, YamlForm

DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"


class BadPolicyError(BadFileError):
    """A policy that cannot be used. The message says which file, where in it, what is wrong, how to mend it."""


_FORM = YamlForm(Policy, "policy", "default.yaml", BadPolicyError)


def read_policy(path: Path = DEFAULT_POLICY) -> Policy:
    """The policy in a file; without one, the shipped default. Raises BadPolicyError."""
    return _FORM.read(path)


def parse_policy(content: bytes, where: str = "the policy") -> Policy:
    """The policy in a file's content. Raises BadPolicyError."""
    return _FORM.parse(content, where)
