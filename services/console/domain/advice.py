"""What to do about a dead letter, in words: what it says, what its reader says today, what came of its prompt."""

from collections.abc import Iterator

from services.console.domain.dead_letters import DeadLetter
from services.console.domain.outcomes import Answered


def advice(letter: DeadLetter, problem: str | None, outcome: Answered | None, *, mendable: bool) -> Iterator[str]:
    """Each step in a sentence. `problem`: why its topic's reader cannot read it; None: it can."""
    if letter.replayed is not None:
        yield f"It was replayed to {letter.replayed}; nothing more is to be done unless that failed too."
    if problem is not None:
        yield f"It cannot be read as it stands: {problem}."
        yield _how_to_mend(letter) if mendable else "It is an event of our own: mend the service that wrote it."
    elif letter.replayed is None:
        yield f"It can be read: mend the cause, then `tailrace dead-letters replay {letter.address}`."
    if outcome is not None:
        yield (
            f"Its prompt has its outcome: {outcome}. Under its own id it is not answered again; "
            f"`tailrace dead-letters replay {letter.address} --as-new` asks it under a new one."
        )
    elif letter.prompt_id is None and "prompt" in letter.origin_topic:
        yield "No prompt id can be read from it, so nobody was told."


def _how_to_mend(letter: DeadLetter) -> str:
    return (
        f"Mend it: `tailrace dead-letters replay {letter.address}` with --edit, --set PATH=VALUE, --unset PATH "
        "or --body FILE."
    )
