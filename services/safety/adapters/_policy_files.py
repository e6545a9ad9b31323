"""Reads a folder of policies: YAML, merged over the default, checked, with errors that say how to mend them.

`default.yaml` must be there; `<tenant>.yaml` states what differs for a tenant. Knows no clock and keeps nothing.
"""

import difflib
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from libs.personal_data import ENTITY_TYPES
from services.safety.domain.policy import Policy

DEFAULT = "default"
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEYS = sorted({"restore", "action", "threshold", "default", "entities", "user", "system", "history", "source",
                "enabled", *Policy.model_fields, *ENTITY_TYPES})  # fmt: skip


class BadPolicyError(ValueError):
    """A policy that cannot be used: which file, where in it, what is wrong, how to mend it."""


def read_policies(folder: Path) -> dict[str, Policy]:
    """Policies by tenant; `default` is always among them. Raises BadPolicyError."""
    files = policy_files(folder)
    if DEFAULT not in files:
        raise BadPolicyError(
            f"{folder / 'default.yaml'}: there is no such file; copy services/safety/policies/default.yaml"
        )
    base = _read(files[DEFAULT])
    return {
        tenant: _policy(path, base if tenant == DEFAULT else _merged(base, {"name": tenant, **_read(path)}))
        for tenant, path in files.items()
    }


def policy_files(folder: Path) -> dict[str, Path]:
    """The folder's policy files by tenant. Raises BadPolicyError for a name that would be passed over in silence."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise BadPolicyError(
            f"{folder}: {error.strerror}; set TAILRACE_SAFETY_POLICY_DIR to a readable folder"
        ) from error
    for entry in entries:
        if entry.suffix in (".yml", ".json") or (entry.suffix == ".yaml" and not _TENANT.fullmatch(entry.stem)):
            raise BadPolicyError(f"{entry}: not a policy's name; call it <tenant>.yaml or take it out of the folder")
    return {entry.stem: entry for entry in entries if entry.suffix == ".yaml"}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise BadPolicyError(
            f"{path}: cannot be read ({error}); it must be UTF-8 text this process may read"
        ) from error
    except yaml.YAMLError as error:
        raise BadPolicyError(f"{path}: not YAML: {error}; mend it there") from error
    if not isinstance(content, dict):
        raise BadPolicyError(f"{path}: holds no mapping; begin with `name:` and see the shipped default.yaml")
    return content


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, mappings merged member by member."""
    merged = dict(base)
    for key, value in changes.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _policy(path: Path, content: Mapping[str, Any]) -> Policy:
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        lines = "\n".join(f"  {_explained(detail)}" for detail in error.errors(include_url=False))
        raise BadPolicyError(f"{path}:\n{lines}") from None


def _explained(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    key = str(detail["loc"][-1] if detail["type"] == "extra_forbidden" else detail["input"])
    if detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]:
        near = difflib.get_close_matches(key, _KEYS, n=1)
        return f"{where}: unknown; " + (f"did you mean {near[0]}?" if near else "take it out")
    if detail["type"] == "missing":
        return f"{where}: missing; add it, the shipped default.yaml shows how"
    given = "" if isinstance(detail["input"], dict | BaseModel) else f", not {detail['input']!r}"
    return f"{where}: {detail['msg'][0].lower()}{detail['msg'][1:]}{given}"


class _Loader(yaml.SafeLoader):
    """Safe, and strict about a key that stands twice: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} stands twice; keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)
