"""Where data sets lie: the environment says so, or else the local stack's data folder."""

from pathlib import Path

from infra.local.home import Home, default_home
from libs.datasets import BadPolicyError, Datasets, Policy, read_policy
from services.console.domain.errors import ConsoleError
from services.console.settings import ConsoleSettings


def the_datasets(settings: ConsoleSettings) -> Datasets:
    """The folder of data sets that commands are about."""
    return Datasets(settings.datasets or Home(default_home()).datasets)


def policy_in(path: Path | None) -> Policy:
    """The policy in the file; without one, the shipped default. Raises ConsoleError."""
    try:
        return read_policy() if path is None else read_policy(path)
    except BadPolicyError as error:
        raise ConsoleError(str(error), exit_code=2) from None
