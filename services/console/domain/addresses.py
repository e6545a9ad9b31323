"""Where a record lies, as operators read and type it: `prompt-submitted-dlq/3/17`."""

from typing import NamedTuple

from schemas.topics import topic_named
from services.console.domain.errors import ConsoleError


class Address(NamedTuple):
    """Topic, partition and offset of one record."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def read_address(text: str) -> Address:
    """The address of a dead letter. Raises ConsoleError."""
    parts = text.strip().split("/")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        raise ConsoleError(f'"{text}" is no address; write TOPIC/PARTITION/OFFSET as the list shows it', exit_code=2)
    return Address(dead_letter_name(parts[0]), int(parts[1]), int(parts[2]))


def dead_letter_name(topic: str) -> str:
    """The dead letter topic, also where its topic of origin was named. Raises ConsoleError."""
    name = topic if topic.endswith("-dlq") else f"{topic}-dlq"
    try:
        return topic_named(name).name
    except KeyError:
        raise ConsoleError(f'there is no dead letter topic "{name}" in the catalogue', exit_code=2) from None
