"""Keys of the local stack, made once: the sealing key pair of post_processing and an API key of the gateway."""

import hashlib
import json
import secrets

from infra.local.home import Home
from libs.files import write_whole
from libs.sealing import write_key_file


def make_secrets(home: Home) -> str:
    """Make what is missing. Returns the public key that safety seals to, base64."""
    if not home.api_key.exists():
        write_whole(home.api_key, f"tr-{secrets.token_urlsafe(32)}\n")
    _store_hash(home, api_key(home) or "")
    return write_key_file(home.seal_key)


def api_key(home: Home) -> str | None:
    """The gateway's key in clear, None before the first `up`."""
    return home.api_key.read_text().strip() if home.api_key.exists() else None


def _store_hash(home: Home, key: str) -> None:
    """The gateway gets the hash only. Keys an operator has added to the file stay."""
    entry = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": "default"}
    entries = json.loads(home.api_keys.read_text()) if home.api_keys.exists() else []
    if entry not in entries:
        write_whole(home.api_keys, json.dumps([*entries, entry], indent=2) + "\n")
