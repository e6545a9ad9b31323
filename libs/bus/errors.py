"""Failures, named after the decision they call for. Anything else a handler raises is a bug."""

from schemas.base import ReasonCode


class Rejected(Exception):  # noqa: N818 - named after the decision, not the kind of thing it is
    """The message is wrong, and will be wrong tomorrow: dead letter and an outcome, no retry.

    The text says what was wrong, where, and how to mend it; it must not quote the message's content.
    """

    def __init__(self, message: str, *, code: ReasonCode = "invalid_request", answered: bool = False) -> None:
        super().__init__(message)
        self.code: ReasonCode = code
        self.answered = answered
        """True: the prompt has, or will have, its outcome from elsewhere; the dead letter is all there is to write."""


class Retryable(Exception):  # noqa: N818
    """The world is wrong (a store is away, an engine is busy): the same message again, after a back-off."""

    def __init__(self, message: str, *, code: ReasonCode = "internal_error") -> None:
        super().__init__(message)
        self.code: ReasonCode = code
        """The outcome's reason should the retries run out."""


class TooManyFailures(RuntimeError):  # noqa: N818
    """Most messages of a partition fail: the stage stops instead of emptying its topic into the dead letters."""
