"""A gate: what a candidate must show, on how much, how surely.

Frozen and strict: an unknown name is an error, so that a misspelt rule cannot pass everything in silence.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from libs.rules import Rules, Section
from libs.yaml_files import known_name
from schemas.base import Identifier
from schemas.evaluation import MetricName
from schemas.training import RecipeName
from services.evaluation.domain.metrics import METRICS


class Rule(Section):
    """One thing that must be shown of one metric."""

    metric: MetricName
    must: Literal["improve", "not_fall", "hold"]
    """`improve`: better than the champion. `not_fall`: not worse. `hold`: a bound, whatever the champion does."""
    by: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """`improve`: by more than so much. `not_fall`: by no more than so much."""
    relative: bool = False
    """`by` is a share of the champion's value, and not in the metric's own unit."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """`hold`: one of them, or both."""
    needed: bool = True
    """Whether it fails where nothing could be measured, as without documents; else it is passed over."""

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_name(value, METRICS, "metric")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        metric, bounds = METRICS[self.metric], [it for it in (self.at_least, self.at_most) if it is not None]
        if (self.must == "hold") != bool(bounds):
            raise ValueError('"at_least" or "at_most" belongs to, and is needed by, "must: hold"')
        if self.must == "hold" and (self.by or self.relative):
            raise ValueError('"by" and "relative" compare with the champion: "must: hold" does not')
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            raise ValueError('no number is "at_least" the one and "at_most" the other: swap them')
        top = metric.highest if metric.highest is not None else float("inf")
        if any(it < metric.lowest or it > top for it in bounds):
            raise ValueError(f"{self.metric} lies between {metric.lowest:g} and {top:g}: nothing can hold that")
        if self.must == "improve" and self._out_of_reach(top - metric.lowest):
            raise ValueError(f"{self.metric} cannot improve by {self.by:g}: ask for less")
        return self

    def _out_of_reach(self, span: float) -> bool:
        # What falls can fall by less than all of it.
        return self.by >= (1.0 if METRICS[self.metric].better == "lower" else float("inf")) if self.relative else (
            self.by >= span
        )  # fmt: skip


class Judge(Section):
    """Who says which of two answers is better."""

    kind: Literal["similarity", "endpoint", "python"] = "similarity"
    """`similarity`: the one nearer to the reference in meaning, by embeddings. `endpoint`: a model behind an
    OpenAI-compatible API, asked twice with the answers swapped. `python`: a function of yours."""
    url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2048)] | None = None
    """`endpoint`: e.g. `http://vllm:8000/v1`; its key is in TAILRACE_EVALUATION_JUDGE_API_KEY."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """`endpoint`: its name there. `similarity`: the embedding model; None: the default one."""
    function: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] | None = None
    """`python`: `package.module:function`, called with prompt, candidate's answer, champion's, reference (or None);
    returns 1.0 where the first is better, 0.0 where the second is, 0.5 for a draw."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.kind == "endpoint" and (self.url is None or self.model is None):
            raise ValueError('"url" and "model" are needed by "kind: endpoint"')
        if (self.kind == "python") != (self.function is not None):
            raise ValueError('"function" belongs to, and is needed by, "kind: python"')
        if self.url is not None and self.kind != "endpoint":
            raise ValueError('"url" belongs to "kind: endpoint"')
        return self


class Exams(Section):
    """How much is asked, at most; a sample by seed where there is more. 0: nothing of it."""

    pairs: int = Field(default=200, ge=0, le=100_000)
    """Held-out pairs (and as many held-out single judgements, and better answers) whose likelihood is looked at."""
    answers: int = Field(default=24, ge=0, le=10_000)
    """Held-out prompts that both models answer."""
    answer_tokens: int = Field(default=64, ge=1, le=8192)
    texts: int = Field(default=24, ge=0, le=1000)
    """Plain texts, for general_perplexity."""
    questions: int = Field(default=8, ge=0, le=10_000)
    """On the knowledge base, of each of the three kinds."""
    trials: int = Field(default=24, ge=0, le=1000)
    """Prompts of the safety suite."""
    max_length: int = Field(default=1024, ge=16)
    """Tokens of prompt and answer that are looked at."""


class Gate(Rules):
    """A page of YAML."""

    name: RecipeName
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of the intervals, two-sided."""
    resamples: int = Field(default=2000, ge=200, le=100_000)
    min_items: int = Field(default=8, ge=2)
    """Fewer items show nothing."""
    seed: int = Field(default=7, ge=0, lt=2**32)
    dataset: Identifier | None = None
    """Whose held-out rows are asked, such as one that people have checked. None: that of the candidate's training."""
    canary: RecipeName | None = None
    """The plan by which a pass leads into service, share by share. None: at once."""
    exams: Exams = Exams()
    judge: Judge = Judge()
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.rules:
            raise ValueError('"rules" is empty: a gate that asks nothing is none')
        named = [(rule.metric, rule.must) for rule in self.rules]
        if twice := [pair for pair in named if named.count(pair) > 1]:
            raise ValueError(f'"{twice[0][0]}" stands twice with "must: {twice[0][1]}": keep one')
        return self
