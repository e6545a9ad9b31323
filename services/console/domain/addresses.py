"""Where a record lies, as operators read and type it: `prompt-submitted-dlq/3/17`."""

import re
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


class Range(NamedTuple):
    """Offsets of one partition, both ends included."""

    topic: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.first}-{self.last}"


def read_address(text: str) -> Address:
    """The address of a dead letter. Raises ConsoleError."""
    found = read_range(text)
    if found.first != found.last:
        raise ConsoleError(f'"{text}" is a range; name one record', exit_code=2)
    return Address(found.topic, found.partition, found.first)


def read_range(text: str) -> Range:
    """One dead letter, or those of a range of offsets. Raises ConsoleError."""
    match = re.fullmatch(r"([^/]+)/([0-9]{1,9})/([0-9]{1,18})(?:-([0-9]{1,18}))?", text.strip())
    if match is None or int(match[4] or match[3]) < int(match[3]):
        raise ConsoleError(
            f'"{text}" is no address; write TOPIC/PARTITION/OFFSET as the list shows it, or a range of offsets: '
            "TOPIC/PARTITION/FIRST-LAST",
            exit_code=2,
        )
    return Range(dead_letter_name(match[1]), int(match[2]), int(match[3]), int(match[4] or match[3]))


def dead_letter_name(topic: str) -> str:
    """The dead letter topic, also where its topic of origin was named. Raises ConsoleError."""
    name = topic if topic.endswith("-dlq") else f"{topic}-dlq"
    try:
        return topic_named(name).name
    except KeyError:
        raise ConsoleError(f'there is no dead letter topic "{name}" in the catalogue', exit_code=2) from None
