"""Policies from a folder, read at the start and again when a file changes.

A bad file at the start stops the service. A bad file later leaves the last good rules in force, and is reported.
A file that is gone shuts the gate for those it governs (everybody, for `default.yaml`): whether it was taken away on
purpose cannot be known, and the default may be laxer. Restart the service to do without it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from libs.bus import Retryable
from services.safety.adapters._policy_files import DEFAULT, BadPolicyError, policy_files, read_policies
from services.safety.domain.policy import Policy

Reload = Literal["loaded", "kept last good", "file gone"]
Report = Callable[[Reload, str], None]
_Versions = dict[str, tuple[int, int, int]]


class PolicyFolder:
    """`Policies` in force. `now`: a monotonic clock in seconds; `report` hears of each reload and why it failed."""

    def __init__(self, folder: Path, *, now: Callable[[], float], report: Report, check_every: float = 2.0) -> None:
        self._folder, self._now, self._report, self._check_every = folder, now, report, check_every
        self._policies = read_policies(folder)
        self._seen = self._versions()
        self._gone: frozenset[str] = frozenset()
        self._next_check = now() + check_every

    def policy_for(self, tenant: str) -> Policy:
        """The tenant's rules, else the default's. Raises Retryable while the file that holds them is gone."""
        if self._now() >= self._next_check:
            self._next_check = self._now() + self._check_every
            self.look_again()
        for name in (DEFAULT, tenant):
            if name in self._gone:
                raise Retryable(f"the policy file {self._folder / name}.yaml is gone; put it back, or restart safety")
        return self._policies.get(tenant) or self._policies[DEFAULT]

    def look_again(self) -> None:
        """Looks at the folder now: reloads what changed, notes what is gone."""
        versions = self._versions()
        gone = frozenset(self._policies) - versions.keys()
        if gone - self._gone:
            self._report("file gone", ", ".join(sorted(gone)))
        self._gone = gone
        if versions != self._seen:
            self._seen = versions
            if DEFAULT not in gone:
                self._reload()

    def _reload(self) -> None:
        try:
            self._policies |= read_policies(self._folder)
        except BadPolicyError as error:
            self._report("kept last good", str(error))
        else:
            self._report("loaded", ", ".join(policy.label for policy in self._policies.values()))

    def _versions(self) -> _Versions:
        try:
            files = policy_files(self._folder)
        except BadPolicyError:
            files = {path.stem: path for path in self._folder.glob("*.yaml")}
        return {tenant: version for tenant, path in files.items() if (version := _version(path))}


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
