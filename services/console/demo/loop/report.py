"""What the loop's half of the tour saw, as data."""

from pydantic import BaseModel, ConfigDict

from schemas.evaluation import Check


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True)


class Answer(_Page):
    """To one question, by whatever served then."""

    question: str
    text: str
    adapter: str | None
    """None: the bare base."""


class Judged(_Page):
    """What people said."""

    wish: str
    """What they want an answer to begin with."""
    answers: int
    dataset: str
    rows: dict[str, dict[str, int]]
    seconds: float


class Candidate(_Page):
    """An adapter, from its training to its verdict."""

    model: str
    rows: int
    steps: int
    train_seconds: float
    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    exam_seconds: float


class Loop(_Page):
    """From feedback to what serves, and back."""

    judged: Judged
    candidate: Candidate
    before: tuple[Answer, ...]
    promotion_seconds: float | None
    """From the promotion to the first answer by the adapter; None: it was not promoted."""
    after: tuple[Answer, ...]
    """The same questions once the candidate serves."""
    sabotaged: Candidate
    """Trained on the same judgements, turned round."""
    still_serves: str | None
    """After the sabotaged one was examined."""
    rolled_back: str | None
    """None: nothing had been promoted."""
    rollback_seconds: float | None
    """From the wish to the first answer without the adapter."""
    after_rollback: tuple[Answer, ...]
    seconds: float
