"""What the gateway hears (its own partition only, from the end on, without a group) and says on the bus."""

from schemas.base import Event
from schemas.documents import DocumentSubmitted
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.prompts import PromptCancelled, PromptSubmitted
from schemas.responses import Reply

HEARS: tuple[type[Event], ...] = (Reply,)
SAYS: tuple[type[Event], ...] = (PromptSubmitted, PromptCancelled, DocumentSubmitted, FeedbackSubmitted, SubjectErased)
