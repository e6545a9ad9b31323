"""Prompts in, grounded, refused or failed prompts out: sources, conversation, deadline and template in one handler."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from libs.bus import Context, Envelope, Rejected, Retryable, StoredRecord
from libs.embeddings import HashingEmbedder, Vectors
from libs.telemetry import Metrics
from schemas.base import Lane, Message, Parameters
from schemas.documents import DocumentIndexed, IndexedChunk
from schemas.prompts import Grounding, PromptAccepted, PromptFailed, PromptGrounded, PromptRefused
from schemas.responses import ResponseReady
from services.grounding.adapters.in_memory import InMemoryIndex
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.adapters.template_files import OWN_TEMPLATES, read_templates
from services.grounding.domain.history import Bounds
from services.grounding.domain.rendering import Budget
from services.grounding.domain.retrieval import Hit, Search, good, question_of
from services.grounding.domain.templates import Templates
from services.grounding.domain.vectors import pack
from services.grounding.handlers import Choices, ground_prompt, remember_response
from services.grounding.memory import ConversationMemory
from services.grounding.ports import ChunkIndex
from tests.unit.grounding.conftest import NOW, MakePrompt

REQUIRED = Grounding(mode="required")
OFF = Grounding(mode="off")
BROKERS = "Brokers restart one after another, never two at once."
CATS = "Cats sleep most of the day and hunt at night."


class WordCounter:
    def count(self, text: str) -> int:
        return len(text.split())

    def count_messages(self, messages: Sequence[Message]) -> int:
        return sum(self.count(m.content) + 2 for m in messages)


class Recording(HashingEmbedder):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(64)
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked.extend(texts)
        return super().embed(texts)


class Away:
    """An index that cannot be reached."""

    async def write(self, part: DocumentIndexed) -> None:
        raise Retryable("away")

    async def head(self, tenant: str, document_id: str) -> None:
        raise Retryable(f"away: {tenant}, {document_id}")

    async def search(self, search: Search) -> list[Hit]:
        raise Retryable(f"away: {search.limit}")


def context(partition: int = 0) -> Context:
    async def emit(_: object) -> None:
        return None

    record = StoredRecord("prompt-accepted", partition, 0, 0, b"k", b"{}")
    return Context(record, Envelope("id"), Lane.REAL_TIME, 1, emit)


class Grounder:
    """The handler with its parts."""

    def __init__(self, metrics: Metrics) -> None:
        self.index: ChunkIndex = InMemoryIndex(Bm25Encoder())
        self.embedder = Recording()
        self.conversations = ConversationMemory(Bounds())
        self.templates = Templates(read_templates([OWN_TEMPLATES]))
        self.metrics = metrics

    async def __call__(self, event: PromptAccepted, **changes: Any) -> PromptGrounded | PromptRefused | PromptFailed:
        parts: dict[str, Any] = {
            "context": context(),
            "index": self.index,
            "embedder": self.embedder,
            "tokens": WordCounter(),
            "templates": self.templates,
            "conversations": self.conversations,
            "budget": Budget(1000, 100, 200),
            "choices": Choices(),
            "clock": lambda: NOW,
            "metrics": self.metrics,
        }
        return await ground_prompt(event, **{**parts, **changes})

    async def grounded(self, event: PromptAccepted, **changes: Any) -> PromptGrounded:
        out = await self(event, **changes)
        assert isinstance(out, PromptGrounded), out
        return out

    async def add(self, text: str, *, tenant: str = "acme", collection: str = "handbook", name: str = "guide") -> None:
        chunk = IndexedChunk(ordinal=0, text=text, location="Top", vector=pack(HashingEmbedder(64).embed([text])[0]))
        await self.index.write(
            DocumentIndexed(
                document_id=name,
                tenant=tenant,
                collection=collection,
                version="v",
                part=0,
                parts=1,
                title="Guide",
                embedding_model="hashing-64",
                chunks=(chunk,),
            )
        )

    def answer(self, event: PromptAccepted, text: str) -> None:
        response = ResponseReady(
            response_id="r",
            prompt_id=event.prompt_id,
            tenant=event.tenant,
            conversation_id=event.conversation_id,
            status="answered",
            text=text,
            created_at=NOW,
        )
        remember_response(response, context=context(), conversations=self.conversations)


@pytest.fixture
async def ground(metrics: Metrics) -> Grounder:
    grounder = Grounder(metrics)
    await grounder.add(BROKERS)
    await grounder.add(CATS, name="cats")
    return grounder


async def test_a_prompt_gets_the_sources_that_bear_on_it_and_no_others(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    event = make_prompt("How do brokers restart?")
    grounded = await ground.grounded(event)
    assert [(s.number, s.document_id, s.title, s.location, s.text) for s in grounded.sources] == [
        (1, "guide", "Guide", "Top", BROKERS)
    ]
    assert 0.4 <= grounded.sources[0].score <= 1
    assert BROKERS in grounded.messages[-1].content
    assert CATS not in grounded.messages[-1].content
    assert grounded.template == "answer@1"
    assert grounded.upstream_messages == event.messages


async def test_what_the_upstream_asked_for_is_carried_on(ground: Grounder, make_prompt: MakePrompt) -> None:
    fields = {
        "parameters": Parameters(seed=7),
        "model": "m",
        "stream": True,
        "metadata": {"a": "b"},
        "reply_to": 3,
        "deadline": NOW + timedelta(seconds=1),
    }
    grounded = await ground.grounded(make_prompt("x", **fields))
    assert {name: getattr(grounded, name) for name in fields} == fields
    assert grounded.identity == ("acme", "p1")
    assert grounded.submitted_at == NOW


async def test_without_a_good_source_auto_answers_plainly_and_required_refuses(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    text = "Which stocks are cheap?"
    plain = await ground.grounded(make_prompt(text))
    assert (plain.sources, plain.template) == ((), "chat@1")
    assert plain.messages == plain.upstream_messages
    refused = await ground(make_prompt(text, grounding=REQUIRED))
    assert isinstance(refused, PromptRefused)
    assert (refused.reason.code, refused.reason.stage) == ("no_source", "grounding")
    assert text not in refused.reason.message


async def test_required_with_a_good_source_is_grounded(ground: Grounder, make_prompt: MakePrompt) -> None:
    assert (await ground.grounded(make_prompt("How do brokers restart?", grounding=REQUIRED))).sources


async def test_required_is_refused_when_no_source_fits_into_the_context(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    event = make_prompt("How do brokers restart?", grounding=REQUIRED)
    refused = await ground(event, budget=Budget(110, 100))
    assert isinstance(refused, PromptRefused | PromptFailed)
    assert refused.reason.code == "no_source"


@pytest.mark.parametrize("template", ["chat@1", None])
async def test_required_never_passes_without_a_source(
    template: str | None, ground: Grounder, make_prompt: MakePrompt
) -> None:
    refused = await ground(make_prompt("Which stocks?", grounding=REQUIRED, template=template))
    assert isinstance(refused, PromptRefused)


async def test_off_neither_embeds_nor_searches_and_takes_less_than_a_millisecond(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    event = make_prompt("How do brokers restart?", grounding=OFF, prompt_tokens=9)
    grounded = await ground.grounded(event, index=Away())
    assert (grounded.sources, grounded.template, grounded.prompt_tokens) == ((), "chat@1", 9)
    assert ground.embedder.asked == []
    spent = []
    for _ in range(50):
        started = time.perf_counter()
        await ground(event)
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.001


async def test_an_index_that_is_away_is_tried_again(ground: Grounder, make_prompt: MakePrompt) -> None:
    with pytest.raises(Retryable):
        await ground(make_prompt("How do brokers restart?"), index=Away())


async def test_tenants_and_collections_bound_the_search(ground: Grounder, make_prompt: MakePrompt) -> None:
    text = "How do brokers restart?"
    assert (await ground.grounded(make_prompt(text, tenant="other"))).sources == ()
    elsewhere = Grounding(collections=("elsewhere",))
    assert (await ground.grounded(make_prompt(text, grounding=elsewhere))).sources == ()


async def test_top_k_bounds_the_sources(ground: Grounder, make_prompt: MakePrompt) -> None:
    for n in range(8):
        await ground.add(f"Brokers restart, note {n}.", name=f"n{n}")
    text = "brokers restart note"
    assert len((await ground.grounded(make_prompt(text))).sources) == Choices().top_k
    assert len((await ground.grounded(make_prompt(text, grounding=Grounding(top_k=2)))).sources) == 2


async def test_a_deadline_that_passed_fails_the_prompt(ground: Grounder, make_prompt: MakePrompt) -> None:
    failed = await ground(make_prompt("x", deadline=NOW))
    assert isinstance(failed, PromptFailed)
    assert (failed.reason.code, failed.reason.stage) == ("deadline_exceeded", "grounding")


async def test_an_unknown_template_is_rejected(ground: Grounder, make_prompt: MakePrompt) -> None:
    with pytest.raises(Rejected) as caught:
        await ground(make_prompt("x", template="nope@3"))
    assert caught.value.code == "unknown_template"


async def test_a_chosen_template_is_used_with_sources_and_without(ground: Grounder, make_prompt: MakePrompt) -> None:
    for text in ("How do brokers restart?", "Which stocks?"):
        assert (await ground.grounded(make_prompt(text, template="answer@1"))).template == "answer@1"
    chat = await ground.grounded(make_prompt("How do brokers restart?", template="chat@1"))
    assert (chat.template, chat.sources) == ("chat@1", ())


async def test_a_conversation_goes_on(ground: Grounder, make_prompt: MakePrompt) -> None:
    first = make_prompt("Who are you?", prompt_id="p1", conversation_id="c1", grounding=OFF)
    await ground(first)
    ground.answer(first, "A model.")
    later = {"conversation_id": "c1", "submitted_at": NOW + timedelta(seconds=1), "grounding": OFF}
    second = await ground.grounded(make_prompt("Really?", prompt_id="p2", **later))
    assert [m.content for m in second.messages] == ["Who are you?", "A model.", "Really?"]
    assert [m.content for m in second.upstream_messages] == ["Really?"]


async def test_an_upstream_that_sends_the_conversation_itself_gets_none_of_ours(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    first = make_prompt("Who are you?", prompt_id="p1", conversation_id="c1", grounding=OFF)
    await ground(first)
    ground.answer(first, "A model.")
    own = make_prompt(
        "a", "b", "c", prompt_id="p2", conversation_id="c1", submitted_at=NOW + timedelta(seconds=1), grounding=OFF
    )
    assert (await ground.grounded(own)).messages == own.messages


async def test_a_short_follow_up_is_searched_with_the_question_before(
    ground: Grounder, make_prompt: MakePrompt
) -> None:
    grounded = await ground.grounded(make_prompt("How do brokers restart?", "Slowly.", "And why?"))
    assert ground.embedder.asked == ["How do brokers restart?\nAnd why?"]
    assert [s.document_id for s in grounded.sources] == ["guide"]


def messages(*texts: str) -> list[Message]:
    return [Message(role="user", content=text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "question"),
    [
        (["How do I restart it?"], "How do I restart it?"),
        (["How?", "Why is that so in this case?"], "Why is that so in this case?"),
        (["How do I restart it?", "And then?"], "How do I restart it?\nAnd then?"),
    ],
)
def test_what_is_searched_for_stands_alone(texts: list[str], question: str) -> None:
    assert question_of(messages(*texts)) == question


def make_hit(cosine: float, overlap: float, text: str = "t") -> Hit:
    return Hit("d", "v", 0, None, None, text, cosine, overlap)


def test_the_score_grows_with_both_measures_and_stays_between_0_and_1() -> None:
    score: Callable[[float, float], float] = lambda c, o: make_hit(c, o).score  # noqa: E731
    assert score(0.2, 0.2) < score(0.5, 0.2) < score(0.5, 0.9) < score(1, 1) <= 1
    assert score(-1, 0) == 0


def test_good_hits_keep_the_indexs_order_and_show_a_text_once() -> None:
    hits = [make_hit(0.6, 0.6, "a"), make_hit(0.1, 0, "b"), make_hit(0.9, 0.9, "c"), make_hit(0.9, 0.9, "a")]
    assert [hit.text for hit in good(hits, 0.4, 5)] == ["a", "c"]
    assert [hit.text for hit in good(hits, 0.4, 1)] == ["a"]
