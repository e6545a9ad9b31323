"""Whether a row is good enough: its form, its lengths, and how far an edit lies from its answer."""

from rapidfuzz.distance import Levenshtein

from libs.datasets._names import Reason
from libs.datasets._rows import Candidate
from libs.datasets.policy import Characters, EditDistance, Filters


def fault_of(candidate: Candidate, filters: Filters) -> Reason | None:
    """Why the row is left out; None: it is good enough."""
    prompt = candidate.body["prompt"]
    # TRL refuses a prompt that does not end so.
    if not prompt or prompt[-1]["role"] not in ("user", "assistant"):
        return "prompt-form"
    if sum(len(message["content"]) for message in prompt) > filters.prompt_characters:
        return "prompt-too-long"
    for text in candidate.texts:
        if (fault := _of_length(text, filters.completion_characters)) is not None:
            return fault
    if candidate.kind == "dpo" and filters.length_ratio is not None:
        shorter, longer = sorted(map(len, candidate.texts))
        if longer > shorter * filters.length_ratio:
            return "lengths-too-different"
    return _of_edit(candidate, filters.edit_distance) if candidate.origin == "edit" else None


def _of_length(text: str, bounds: Characters) -> Reason | None:
    if not text.strip():
        return "empty"
    if len(text) < bounds.minimum:
        return "too-short"
    return "too-long" if len(text) > bounds.maximum else None


def _of_edit(candidate: Candidate, bounds: EditDistance) -> Reason | None:
    edit, answer = candidate.texts[0].strip(), candidate.answers[0].text.strip()
    distance = Levenshtein.normalized_distance(answer, edit)
    if distance < bounds.minimum:
        return "edit-too-small"
    return "edit-too-large" if distance > bounds.maximum else None
