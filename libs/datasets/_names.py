"""Words of this library that are types, so that a typo does not pass."""

from typing import Literal, get_args

Kind = Literal["dpo", "kto", "sft"]
Split = Literal["train", "validation", "test"]
Form = Literal["conversational", "plain"]
Origin = Literal["votes", "edit", "siblings", "choice"]
"""What a row was made of."""

KINDS: tuple[Kind, ...] = get_args(Kind)
SPLITS: tuple[Split, ...] = get_args(Split)
FORMS: tuple[Form, ...] = get_args(Form)

Subject = Literal["examples", "judgements", "rows"]
"""What is left out."""
Reason = Literal[
    # examples
    "unreadable",
    "other-tenant",
    "reported",
    "not-judged",
    "neutral",
    "too-few-judges",
    "disagreement",
    # judgements
    "no-consent",
    "anonymous",
    "over-the-cap",
    "same-judge",
    # pairs, on their way to rows
    "partner-unknown",
    "other-prompt",
    "same-text",
    # rows
    "prompt-form",
    "prompt-too-long",
    "empty",
    "too-short",
    "too-long",
    "lengths-too-different",
    "edit-too-small",
    "edit-too-large",
    "copy",
    "contradiction",
    "near-duplicate",
]
