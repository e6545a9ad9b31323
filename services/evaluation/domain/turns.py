"""From a wish and what serves to the next turn."""

from datetime import datetime

from libs.model_registry import Serving, Turn
from schemas.evaluation import ModelEvaluated, PromotionRequested


class Unchangeable(ValueError):  # noqa: N818 - it names what the wish comes to
    """The wish cannot come true; the message says why."""


def decided(
    wish: PromotionRequested, serving: Serving, revision: int, evaluation: ModelEvaluated | None, now: datetime
) -> Turn:
    """What happens. Raises Unchangeable."""
    if wish.revision is not None and wish.revision != serving.revision:
        raise Unchangeable(f"it was meant for revision {wish.revision}; {serving.revision} serves now")
    return _promoted(wish, serving, revision, evaluation, now) if wish.action == "promote" else (
        _rolled_back(wish, serving, revision, now)
    )  # fmt: skip


def _promoted(
    wish: PromotionRequested, serving: Serving, revision: int, evaluation: ModelEvaluated | None, now: datetime
) -> Turn:
    if wish.model == serving.champion:
        raise Unchangeable(f"{wish.model} serves already")
    tried = serving.challenger if serving.canary is not None and not wish.force else None
    if tried not in (None, wish.model):
        raise Unchangeable(
            f"{tried} is being tried on {serving.share:.0%} of the conversations: wait until that is over, "
            f"roll it back, or insist"
        )
    if wish.share < 1 and (serving.challenger, serving.share, serving.canary) == (wish.model, wish.share, wish.canary):
        raise Unchangeable(f"{wish.model} serves {wish.share:g} of the conversations already")
    return Turn(
        revision=revision,
        action="promote",
        request_id=wish.request_id,
        model=wish.model,
        share=wish.share,
        champion=serving.champion if wish.share < 1 else None,
        previous=serving.champion,
        evaluation=evaluation.evaluation_id if evaluation is not None and evaluation.passed else None,
        canary=wish.canary if wish.share < 1 else None,
        reason=wish.reason,
        at=now,
    )


def _rolled_back(wish: PromotionRequested, serving: Serving, revision: int, now: datetime) -> Turn:
    latest = serving.challenger or serving.champion
    if latest is None:
        raise Unchangeable("nothing was promoted: the bare base serves, and there is nothing before it")
    if wish.model is not None and wish.model != latest:
        raise Unchangeable(f"{wish.model} is not what was promoted last: {latest} is")
    before = serving.champion if serving.challenger is not None else serving.before[-1]
    return Turn(
        revision=revision,
        action="rollback",
        request_id=wish.request_id,
        model=before,
        rolled_back=latest,
        reason=wish.reason,
        at=now,
    )
