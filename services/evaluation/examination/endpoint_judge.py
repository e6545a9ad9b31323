"""A model behind an OpenAI-compatible API compares two answers, twice: models favour a place (Zheng et al. 2023)."""

import re
import time
from collections.abc import Callable, Sequence

import httpx

from services.evaluation.examination.errors import BrokenError
from services.evaluation.examination.judges import DRAW, Compared

_ATTEMPTS = 4
_SECONDS = 60.0
_TOKENS = 16
_MEANS = {"A": 1.0, "B": 0.0, "C": DRAW}
_SYSTEM = (
    "You compare two answers to the same prompt. Judge how correct, helpful and clear they are, and not how long. "
    "Reply with one letter only: A if answer A is better, B if answer B is better, C if neither is."
)


class EndpointJudge:
    """`url`: e.g. `http://vllm:8000/v1`. Where the two orders disagree it is a draw."""

    def __init__(self, url: str, model: str, key: str | None, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._url, self._model, self._wait = f"{url.rstrip('/')}/chat/completions", model, wait
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def judge(self, compared: Sequence[Compared]) -> list[float]:
        with httpx.Client(timeout=_SECONDS, headers=self._headers) as client:
            votes = [self._both(client, it) for it in compared]
        unclear = [it for vote in votes for it in vote if it is None]
        if len(unclear) > len(votes):
            # Two votes each: more than half of them.
            raise BrokenError(
                f"the judge {self._model} named neither A, B nor C in {len(unclear)} of {2 * len(votes)} replies; "
                "name a model that follows instructions"
            )
        return [one if one is not None and one == other else DRAW for one, other in votes]

    def _both(self, client: httpx.Client, it: Compared) -> tuple[float | None, float | None]:
        if it.candidate == it.champion:
            return DRAW, DRAW
        there = self._vote(client, _question(it, it.candidate, it.champion))
        back = self._vote(client, _question(it, it.champion, it.candidate))
        return there, None if back is None else 1.0 - back

    def _vote(self, client: httpx.Client, question: str) -> float | None:
        """For the answer that stands first; None: its reply names no letter."""
        asked = {
            "model": self._model,
            "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": _TOKENS,
        }
        said = self._said(client, asked)
        letter = re.search(r"\b([ABC])\b", said)
        return _MEANS[letter[1]] if letter is not None else None

    def _said(self, client: httpx.Client, asked: dict[str, object]) -> str:
        fault = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._wait(2.0**attempt)
            try:
                reply = client.post(self._url, json=asked)
                reply.raise_for_status()
                return str(reply.json()["choices"][0]["message"]["content"])
            except httpx.HTTPStatusError as error:
                fault = f"it answered {error.response.status_code}"
                if error.response.status_code < 500 and error.response.status_code not in (408, 429):
                    break
            except httpx.HTTPError as error:
                fault = type(error).__name__
            except (ValueError, LookupError, TypeError):
                fault = "its reply is no chat completion"
        raise BrokenError(f"the judge at {self._url} cannot be asked: {fault}; see to it, and ask again")


def _question(it: Compared, first: str, second: str) -> str:
    reference = f"\n\nA good answer, for comparison:\n{it.reference}" if it.reference else ""
    return f"The prompt:\n{it.prompt}{reference}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}\n\nWhich is better?"
