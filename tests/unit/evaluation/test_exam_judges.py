"""Who says which of two answers is better."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.evaluation.domain import gate
from services.evaluation.examination.endpoint_judge import EndpointJudge
from services.evaluation.examination.errors import BrokenError
from services.evaluation.examination.judges import Compared, judge_of

GOOD, BAD = "You may return it within fourteen days.", "Bananas are yellow fruit."
WINS = Compared("How long?", GOOD, BAD, "It may be returned within fourteen days.")
LOSES = Compared("How long?", BAD, GOOD, WINS.reference)
SAME = Compared("How long?", BAD, BAD, WINS.reference)

Reply = Callable[[dict[str, Any]], tuple[int, Any]]


def judged(rules: dict[str, Any], *compared: Compared) -> list[float]:
    return judge_of(gate.Judge.model_validate(rules), None, 1).judge(compared)


@pytest.mark.parametrize("model", ["hashing", None])
def test_the_answer_nearer_to_the_reference_is_better(model: str | None) -> None:
    assert judged({"kind": "similarity", "model": model}, WINS, LOSES, SAME) == [1.0, 0.0, 0.5]


def test_what_is_nearly_as_near_or_has_no_reference_is_a_draw() -> None:
    near = Compared("How long?", "it may be returned within fourteen days", f"{WINS.reference}", WINS.reference)
    none = Compared("How long?", GOOD, BAD, None)
    assert judged({"kind": "similarity", "model": "hashing"}, near, none) == [0.5, 0.5]


def test_a_function_of_ones_own_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_judge.py").write_text(
        "def longer(prompt, one, other, reference):\n"
        "    return 0.5 if one == other else float(len(one) > len(other))\n"
        "def breaks(prompt, one, other, reference):\n"
        "    raise ValueError(one)\n"
        "def talks(prompt, one, other, reference):\n"
        "    return 'the first'\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"kind": "python", "function": "own_judge:longer"}
    assert judged(own, WINS, LOSES, SAME) == [1.0, 0.0, 0.5]
    with pytest.raises(BrokenError, match="own_judge:breaks raised ValueError; mend it") as told:
        judged({**own, "function": "own_judge:breaks"}, WINS)
    assert GOOD not in str(told.value)
    with pytest.raises(BrokenError, match=r"own_judge:talks returned 'the first'; it must return 1.0, 0.5 or 0.0"):
        judged({**own, "function": "own_judge:talks"}, WINS)
    with pytest.raises(BrokenError, match="own_judge:number is no function"):
        judged({**own, "function": "own_judge:number"}, WINS)
    for missing in ("own_judge:none", "no_such_module:judge"):
        with pytest.raises(BrokenError, match=f"the judge {missing} cannot be imported"):
            judged({**own, "function": missing}, WINS)


@contextmanager
def endpoint(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A model behind an OpenAI-compatible API, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({**body, "path": self.path, "key": self.headers.get("authorization")})
            status, said = reply(body)
            content = said if isinstance(said, bytes) else json.dumps(_completion(said)).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _completion(said: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": said}}]}


def prefers_good(body: dict[str, Any]) -> tuple[int, str]:
    said = body["messages"][-1]["content"]
    return 200, "A" if said.index(GOOD) < said.index(BAD) else "Answer B."


def asked_of(url: str, *compared: Compared, waited: list[float] | None = None, key: str | None = None) -> list[float]:
    return EndpointJudge(url, "big", key, wait=(waited if waited is not None else []).append).judge(compared)


def test_an_endpoint_is_asked_in_both_orders() -> None:
    with endpoint(prefers_good) as (url, asked):
        assert asked_of(f"{url}/", WINS, LOSES, SAME, key="sesame") == [1.0, 0.0, 0.5]
    # Equal answers need nobody.
    assert len(asked) == 4
    assert {it["path"] for it in asked} == {"/v1/chat/completions"}
    assert {(it["model"], it["temperature"], it["key"]) for it in asked} == {("big", 0, "Bearer sesame")}
    one, two = (it["messages"][-1]["content"] for it in asked[:2])
    assert one.index(GOOD) < one.index(BAD)
    assert two.index(BAD) < two.index(GOOD)


def test_an_endpoint_that_always_prefers_the_first_decides_nothing() -> None:
    with endpoint(lambda _: (200, "A")) as (url, _):
        assert asked_of(url, WINS, LOSES) == [0.5, 0.5]
    with endpoint(lambda _: (200, "C")) as (url, _):
        assert asked_of(url, WINS) == [0.5]


def test_an_endpoint_that_is_busy_is_asked_again() -> None:
    busy = iter([(503, b"busy"), (429, b"slow down"), (200, b"no json")])
    waited: list[float] = []
    with endpoint(lambda body: next(busy, None) or prefers_good(body)) as (url, asked):
        assert asked_of(url, WINS, waited=waited) == [1.0]
    assert (len(asked), waited) == (5, [2.0, 4.0, 8.0])


@pytest.mark.parametrize(
    ("status", "asks", "told"),
    [(401, 1, "it answered 401"), (500, 4, "it answered 500"), (200, 4, "no chat completion")],
)
def test_an_endpoint_that_cannot_be_asked_is_no_verdict(status: int, asks: int, told: str) -> None:
    with endpoint(lambda _: (status, b"{}")) as (url, asked), pytest.raises(BrokenError, match=told):
        asked_of(url, WINS)
    assert len(asked) == asks


def test_an_endpoint_that_is_not_there_is_no_verdict() -> None:
    with endpoint(prefers_good) as (url, _):
        pass
    with pytest.raises(BrokenError, match=r"cannot be asked: ConnectError"):
        asked_of(url, WINS)


def test_an_endpoint_that_speaks_of_something_else_is_told_once_it_does_so_mostly() -> None:
    babble = iter([(200, "Well, well.")])
    with endpoint(lambda body: next(babble, None) or prefers_good(body)) as (url, _):
        assert asked_of(url, WINS, LOSES) == [0.5, 0.0]
    with (
        endpoint(lambda _: (200, "Both have merits.")) as (url, _),
        pytest.raises(BrokenError, match="in 4 of 4 replies"),
    ):
        asked_of(url, WINS, LOSES)
