"""The contracts: every event on the bus, and the one catalogue of topics. Imports nothing but pydantic."""

from schemas.base import Event, Lane, Message, Parameters, PathEvent, Reason, ReasonCode, Shadow, Usage
from schemas.topics import CATALOGUE, Topic, dead_letter_topic, topic_of, topics_of

__all__ = [
    "CATALOGUE",
    "Event",
    "Lane",
    "Message",
    "Parameters",
    "PathEvent",
    "Reason",
    "ReasonCode",
    "Shadow",
    "Topic",
    "Usage",
    "dead_letter_topic",
    "topic_of",
    "topics_of",
]
