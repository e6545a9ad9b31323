import asyncio
import json
from dataclasses import replace

import pytest
from fastapi.responses import RedirectResponse, Response

from libs.bus import Rejected, Retryable
from libs.health import free_socket
from libs.language_models.generation import Delta, GenerationRequest
from libs.model_registry import AdapterError
from schemas.base import Message
from services.inference.adapters.echo import EchoEngine
from services.inference.adapters.openai_compatible import OpenAIEngine
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings
from tests.unit.inference.openai_server import chat_app, endpoint, failing_app, saying_app

HELLO = GenerationRequest([Message(role="user", content="one two three four")], max_tokens=9, stop=("x",), seed=4)


async def text_of(engine: OpenAIEngine, request: GenerationRequest = HELLO) -> str:
    return "".join([event.text async for event in engine.generate(request) if isinstance(event, Delta)])


def nowhere() -> str:
    """An address nobody listens at."""
    with free_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/v1"


def settings(*urls: str) -> InferenceSettings:
    return InferenceSettings(endpoints=urls, model="served", rest_seconds=5)


async def test_the_request_speaks_openais_names() -> None:
    app = chat_app(EchoEngine())
    async with endpoint(app) as url, OpenAIEngine(settings(url)) as engine:
        assert await text_of(engine) == "one two three four"
    assert app.state.bodies == [
        {
            "model": "served",
            "messages": [{"role": "user", "content": "one two three four"}],
            "temperature": 0.0,
            "top_p": 1.0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 9,
            "seed": 4,
            "stop": ["x"],
        }
    ]


@pytest.mark.parametrize(("status", "code"), [(500, ""), (503, "overloaded"), (429, "rate_limit_exceeded"), (401, "")])
async def test_another_endpoint_takes_over_from_one_that_fails(status: int, code: str) -> None:
    async with (
        endpoint(failing_app(status, code)) as broken,
        endpoint(chat_app(EchoEngine())) as sound,
        OpenAIEngine(settings(broken, sound)) as engine,
    ):
        assert await text_of(engine) == "one two three four"


async def test_an_endpoint_that_failed_rests_and_is_tried_again_later() -> None:
    time = [0.0]
    broken, sound = failing_app(500, ""), chat_app(EchoEngine())
    async with (
        endpoint(broken) as first,
        endpoint(sound) as second,
        OpenAIEngine(settings(first, second), now=lambda: time[0]) as engine,
    ):

        def order() -> list[str]:
            return [url for url, until in engine._rests_until.items() if until > time[0]]

        await text_of(engine)
        assert order() == [first]
        time[0] = 6.0
        assert order() == []
        await text_of(engine)
        assert order() == [first]


async def test_when_no_endpoint_answers_the_world_is_wrong_and_it_is_not_ready() -> None:
    async with endpoint(failing_app(503, "busy")) as busy, OpenAIEngine(settings(nowhere(), busy)) as engine:
        with pytest.raises(Retryable, match=r"ClientConnectorError.*HTTP 503 busy") as caught:
            await text_of(engine)
        assert caught.value.code == "engine_unavailable"
        assert not engine.ready()


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, "invalid_value", "invalid_request"),
        (400, "context_length_exceeded", "too_long"),
        (422, "", "invalid_request"),
        (404, "model_not_found", "unknown_model"),
    ],
)
async def test_a_refused_request_is_rejected_without_quoting_it(status: int, code: str, reason: str) -> None:
    async with endpoint(failing_app(status, code)) as url, OpenAIEngine(settings(url)) as engine:
        with pytest.raises(Rejected) as caught:
            await text_of(engine)
    assert caught.value.code == reason
    assert "SECRET" not in str(caught.value)


async def test_a_stream_that_breaks_off_is_tried_again_from_the_start_not_elsewhere() -> None:
    sound = chat_app(EchoEngine())
    async with (
        endpoint(chat_app(EchoEngine(), break_after=2)) as breaking,
        endpoint(sound) as second,
        OpenAIEngine(settings(breaking, second)) as engine,
    ):
        with pytest.raises(Retryable, match="broke off"):
            await text_of(engine)
        assert sound.state.bodies == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"data: {oops\n\n", "no JSON"),
        (b"data: [1]\n\n", "no objects"),
        (b'data: {"error": {"message": "SECRET"}}\n\n', "an error in the stream"),
        (b"x" * (2 << 20), "no lines"),
        (b"<html>\n", "broke off"),
    ],
)
async def test_what_is_no_stream_of_events_is_an_endpoint_that_is_away(said: bytes, reason: str) -> None:
    app = saying_app(Response(said, media_type="text/event-stream"))
    async with endpoint(app) as url, OpenAIEngine(settings(url)) as engine:
        with pytest.raises(Retryable, match=reason) as caught:
            await text_of(engine)
    assert "SECRET" not in str(caught.value)


async def test_an_event_may_be_as_large_as_the_answer_and_come_in_pieces() -> None:
    text = "word " * 100_000
    whole = GenerationRequest([Message(role="user", content=text)])
    event = {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    said = f"data: {json.dumps(event)}\r\n\r\ndata: {json.dumps(last)}".encode()
    async with (
        endpoint(saying_app(Response(said, media_type="text/event-stream"))) as url,
        OpenAIEngine(settings(url)) as engine,
    ):
        assert await text_of(engine, whole) == text


async def test_a_prompt_goes_nowhere_but_to_the_endpoint_that_was_named() -> None:
    other = chat_app(EchoEngine())
    async with endpoint(other) as elsewhere:
        leads_away = RedirectResponse(f"{elsewhere}/chat/completions", 307)
        async with endpoint(saying_app(leads_away)) as url, OpenAIEngine(settings(url)) as engine:
            with pytest.raises(Retryable, match="HTTP 307"):
                await text_of(engine)
    assert other.state.bodies == []


async def test_it_goes_through_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    app = chat_app(EchoEngine())
    async with endpoint(app) as proxy:
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with OpenAIEngine(settings("http://model.invalid/v1")) as engine:
            assert await text_of(engine) == "one two three four"
        async with endpoint(failing_app(503, "")) as beside, OpenAIEngine(settings(beside)) as engine:
            with pytest.raises(Retryable, match="HTTP 503"):
                await text_of(engine)


async def test_leaving_early_ends_the_request_at_the_endpoint() -> None:
    ended = asyncio.Event()

    class Watched(EchoEngine):
        async def generate(self, request: GenerationRequest) -> Stream:
            try:
                async for piece in super().generate(request):
                    yield piece
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

    async with endpoint(chat_app(Watched())) as url, OpenAIEngine(settings(url)) as engine:
        stream = engine.generate(GenerationRequest([Message(role="user", content="word " * 5000)]))
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(ended.wait(), 10)


async def test_an_adapter_is_asked_for_by_its_name_where_an_endpoint_has_it() -> None:
    without, with_it = chat_app(EchoEngine(), models=("served",)), chat_app(EchoEngine(), models=("served", "dpo-1"))
    named = replace(HELLO, adapter="dpo-1")
    async with (
        endpoint(without) as first,
        endpoint(with_it) as second,
        OpenAIEngine(settings(first, second)) as engine,
    ):
        await engine.load("dpo-1")
        assert await text_of(engine, named) == "one two three four"
        assert await text_of(engine) == "one two three four"
    assert [body["model"] for body in without.state.bodies] == ["dpo-1", "served"]
    assert [body["model"] for body in with_it.state.bodies] == ["dpo-1"]


async def test_an_adapter_that_no_endpoint_has_any_more_must_prove_itself_again() -> None:
    app = chat_app(EchoEngine(), models=("served", "dpo-1"))
    async with endpoint(app) as url, OpenAIEngine(settings(url)) as engine:
        await engine.load("dpo-1")
        app.state.models = ("served",)
        await engine.load("dpo-1")
        with pytest.raises(Retryable, match="no model of the adapter's name"):
            await text_of(engine, replace(HELLO, adapter="dpo-1"))
        assert engine.ready()
        with pytest.raises(AdapterError, match="load the adapter there"):
            await engine.load("dpo-1")


async def test_where_no_endpoint_lists_its_models_an_adapter_waits() -> None:
    async with endpoint(failing_app(500, "")) as url, OpenAIEngine(settings(url, nowhere())) as engine:
        with pytest.raises(Retryable, match="which models"):
            await engine.load("dpo-1")
