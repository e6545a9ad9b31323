"""What grounding remembers from the log: conversations, and which version of each document it has put there.

Both are read back when a partition is assigned, so a restart or a rebalance loses nothing.
"""

from collections import OrderedDict
from datetime import timedelta

from libs.bus import Record, Rejected, decode
from schemas.documents import DocumentIndexed
from schemas.prompts import PromptAccepted
from schemas.responses import ResponseReady
from schemas.topics import topics_of
from services.grounding.domain.history import Bounds, Conversation, History, Turn
from services.grounding.domain.indexing import Head, head_of

_HEADS_PER_PARTITION = 10_000


class ConversationMemory:
    """History by partition. Handlers tell it of what they consume; `recall` of what was consumed before."""

    def __init__(self, bounds: Bounds) -> None:
        self.topics = tuple(topic.name for event in (PromptAccepted, ResponseReady) for topic in topics_of(event))
        self.window = bounds.age
        self._bounds = bounds
        self._histories: dict[int, History] = {}

    def recall(self, record: Record) -> None:
        try:
            if record.topic in {topic.name for topic in topics_of(PromptAccepted)}:
                self.note_prompt(record.partition, decode(record, PromptAccepted))
            else:
                self.note_response(record.partition, decode(record, ResponseReady))
        except Rejected:
            # Whoever consumes the topic reports it.
            return

    def forget(self, partition: int) -> None:
        self._histories.pop(partition, None)

    def note_prompt(self, partition: int, event: PromptAccepted) -> None:
        """A question was asked. A shadow's is none: nobody said it."""
        if event.conversation_id != event.prompt_id and event.shadow is None:
            conversation = (event.tenant, event.conversation_id)
            history = self._histories.setdefault(partition, History(self._bounds))
            history.asked(conversation, event.prompt_id, event.messages[-1].content, event.submitted_at)

    def note_response(self, partition: int, event: ResponseReady) -> None:
        """It was answered, or never will be."""
        if event.conversation_id == event.prompt_id:
            return
        conversation: Conversation = (event.tenant, event.conversation_id)
        history = self._histories.setdefault(partition, History(self._bounds))
        if event.status == "answered" and event.text:
            history.answered(conversation, event.prompt_id, event.text)
        else:
            history.dropped(conversation, event.prompt_id)

    def before(self, partition: int, event: PromptAccepted) -> list[Turn]:
        """Answered turns of the prompt's conversation, oldest first. A shadow sees what its original saw."""
        history = self._histories.get(partition)
        asked = event.shadow or event
        if history is None or asked.conversation_id == asked.prompt_id:
            return []
        return history.before((event.tenant, asked.conversation_id), asked.prompt_id, asked.submitted_at)


class HeadMemory:
    """The newest version of each document this service has written: it may be ahead of the index for a moment."""

    def __init__(self, window: timedelta = timedelta(hours=1)) -> None:
        self.topics = tuple(topic.name for topic in topics_of(DocumentIndexed))
        self.window = window
        self._heads: dict[int, OrderedDict[tuple[str, str], Head]] = {}

    def recall(self, record: Record) -> None:
        try:
            event = decode(record, DocumentIndexed)
        except Rejected:
            return
        if event.part != event.parts - 1:
            # Not whole yet; after a crash here the document is indexed again.
            return
        heads = self._heads.setdefault(record.partition, OrderedDict())
        heads[event.tenant, event.document_id] = head_of(event)
        heads.move_to_end((event.tenant, event.document_id))
        if len(heads) > _HEADS_PER_PARTITION:
            heads.popitem(last=False)

    def forget(self, partition: int) -> None:
        self._heads.pop(partition, None)

    def find(self, tenant: str, document_id: str) -> Head | None:
        """The newest head of a document, if it was written lately."""
        for heads in self._heads.values():
            if (head := heads.get((tenant, document_id))) is not None:
                return head
        return None
