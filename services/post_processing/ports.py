"""What post-processing needs from outside: the values behind a prompt's placeholders."""

from collections.abc import Mapping
from typing import Protocol


class Seals(Protocol):
    """Opens the mappings that safety sealed."""

    def values(self, box: str | None, key_id: str | None) -> Mapping[str, str]:
        """{placeholder: value}; empty without a box, and for one that cannot be opened (which is reported).

        An answer with its placeholders left in is worth more to the upstream than none.
        """
        ...
