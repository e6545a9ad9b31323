"""All exams, in the order in which they are asked. Each plans itself of what is given."""

from collections.abc import Callable

from services.evaluation.examination.asking import Given, Planned
from services.evaluation.examination.exams.answers import answers
from services.evaluation.examination.exams.knowledge import knowledge
from services.evaluation.examination.exams.perplexity import general, perplexity
from services.evaluation.examination.exams.preferences import judgements, preferences, retained
from services.evaluation.examination.exams.safety import safety
from services.evaluation.examination.exams.size import size

EXAMS: tuple[Callable[[Given], Planned], ...] = (
    size, preferences, retained, judgements, perplexity, general, answers, knowledge, safety,
)  # fmt: skip
