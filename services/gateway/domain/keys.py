"""API keys: only SHA-256 hashes are known; a key names its tenant. Knows no file and no HTTP."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from schemas.base import TenantName


class ApiKey(BaseModel):
    """One key as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the whole key, `tr-` included, in lower-case hex."""
    tenant: TenantName = "default"
    name: str | None = Field(default=None, max_length=128)
    """For people: whose key it is. It appears in the access log."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling."""

    tenant: str
    key_name: str | None = None


class Keyring:
    """The keys that hold now."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), Caller(key.tenant, key.name)) for key in keys]

    def find(self, token: str) -> Caller | None:
        """Whose key this is. Compares with every hash, so that the time taken says nothing."""
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found: Caller | None = None
        for known, caller in self._keys:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def __len__(self) -> int:
        return len(self._keys)
