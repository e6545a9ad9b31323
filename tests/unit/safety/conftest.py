"""Factories for safety's tests: prompts, completions and chunks of which a test states only what it cares about."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from libs.content_safety import PhraseInjectionDetector, PhraseToxicityDetector
from libs.personal_data import PatternDetector
from libs.sealing import Opener, Sealer, generate_key_pair
from schemas.base import Message
from schemas.completions import CompletionChunk, CompletionGenerated
from schemas.prompts import PromptCleared, PromptFailed, PromptGrounded, PromptRefused, SourceText
from services.safety.adapters.policy_folder import PolicyFolder
from services.safety.handlers import clear_prompt
from services.safety.ports import Detectors
from services.safety.settings import SHIPPED_POLICIES

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PUBLIC, PRIVATE = generate_key_pair()
ADDRESS = {"prompt_id": "p-1", "tenant": "acme", "conversation_id": "c-1", "submitted_at": NOON}

ClearPrompt = Callable[..., PromptCleared | PromptRefused | PromptFailed]
WritePolicies = Callable[..., PolicyFolder]


@pytest.fixture(scope="session")
def detectors() -> Detectors:
    return Detectors(PatternDetector(), PhraseInjectionDetector(), PhraseToxicityDetector())


@pytest.fixture
def policies() -> PolicyFolder:
    return PolicyFolder(SHIPPED_POLICIES, now=lambda: 0.0, report=lambda *_: None)


@pytest.fixture
def write_policies(tmp_path: Path) -> WritePolicies:
    """A folder with the shipped default and these tenants' files: `write_policies(acme="chunks: {enabled: false}")`."""

    def write(**tenants: str) -> PolicyFolder:
        (tmp_path / "default.yaml").write_text((SHIPPED_POLICIES / "default.yaml").read_text())
        for tenant, text in tenants.items():
            (tmp_path / f"{tenant}.yaml").write_text(text)
        return PolicyFolder(tmp_path, now=lambda: 0.0, report=lambda *_: None)

    return write


@pytest.fixture
def make_prompt() -> Callable[..., PromptGrounded]:
    """A grounded prompt; `question` is what the user asked, `sources` are texts or `SourceText`s."""

    def make(
        question: str = "What is it?", sources: tuple[str | SourceText, ...] = (), **fields: Any
    ) -> PromptGrounded:
        numbered = tuple(
            s if isinstance(s, SourceText) else SourceText(number=n, document_id=f"doc-{n}", score=0.5, text=s)
            for n, s in enumerate(sources, start=1)
        )
        shown = "\n".join(f"[{source.number}] {source.title or ''}\n{source.text}" for source in numbered)
        messages = (Message(role="system", content=f"Answer.\n{shown}"), Message(role="user", content=question))
        defaults: dict[str, Any] = {"messages": messages, "upstream_messages": messages[1:], "template": "answer@1"}
        return PromptGrounded(**(ADDRESS | defaults | {"sources": numbered} | fields))

    return make


@pytest.fixture
def make_completion() -> Callable[..., CompletionGenerated]:
    def make(text: str, **fields: Any) -> CompletionGenerated:
        used = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "model": {"name": "m"}, "finish_reason": "stop"}
        return CompletionGenerated.model_validate(
            ADDRESS | used | {"template": "answer@1", "policy": "p@0", "text": text} | fields
        )

    return make


@pytest.fixture
def make_chunk() -> Callable[..., CompletionChunk]:
    def make(text: str, preceding: str = "", **fields: Any) -> CompletionChunk:
        return CompletionChunk(
            **(ADDRESS | {"index": 0, "policy": "p@0", "text": text, "preceding": preceding} | fields)
        )

    return make


@pytest.fixture
def clear(detectors: Detectors, policies: PolicyFolder) -> ClearPrompt:
    """`clear_prompt` with the shipped policy at noon; parts can be exchanged by keyword."""

    def run(event: PromptGrounded, **parts: Any) -> PromptCleared | PromptRefused | PromptFailed:
        usual: dict[str, Any] = {"policies": policies, "detectors": detectors, "sealer": Sealer(PUBLIC)}
        return clear_prompt(event, **(usual | {"clock": lambda: NOON} | parts))

    return run


@pytest.fixture
def unseal() -> Callable[[PromptCleared], dict[str, str]]:
    """The sealed mapping of a cleared prompt."""

    def run(event: PromptCleared) -> dict[str, str]:
        return Opener([PRIVATE]).open(event.sealed, event.seal_key_id) if event.sealed else {}

    return run
