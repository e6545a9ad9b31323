"""What evaluation needs from outside: somebody who examines, a memory of examinations, and what is known."""

from collections.abc import AsyncGenerator
from typing import Protocol

from schemas.evaluation import ModelEvaluated
from services.evaluation.domain.exam import Exam, Measured, Report


class Examiner(Protocol):
    """Does exams."""

    def examine(self, exam: Exam) -> AsyncGenerator[Report | Measured]:
        """How far it is, and what was measured, last. The same exam again goes on where it was, or says the same.

        Raises Retryable, or RuntimeError where it broke.
        """


class Memory(Protocol):
    """Exams that have begun, and what became of them. Methods block."""

    def exam(self, evaluation_id: str) -> Exam | None:
        """As it was fixed when it began."""

    def begin(self, exam: Exam) -> Exam:
        """Fixes it, if none of its id is fixed; the one that is fixed."""

    def keep(self, said: ModelEvaluated) -> None:
        """It is over, and this is what was said of it."""

    def said(self, evaluation_id: str) -> ModelEvaluated | None: ...

    def last(self, model: str) -> ModelEvaluated | None:
        """The last that was said of that adapter."""


class Knowledge(Protocol):
    """Documents, for questions on them."""

    async def gather(self, exam: Exam) -> None:
        """Puts a sample of them beside the exam, personal data masked; once for each exam."""
