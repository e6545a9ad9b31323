"""An HTTP endpoint of the test's own that a service depends on: it answers, hangs, is busy, or breaks off.

It answers as a model does, or as an empty Qdrant server.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

Mood = Literal["answers", "hangs", "breaks off", "is busy"]


class Endpoint:
    """Counts what it was asked. `seconds`: how long an answer takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.mood: Mood = "answers"
        self.asked = 0
        self.url = ""
        self._seconds = seconds
        self._changed = asyncio.Event()

    def becomes(self, mood: Mood) -> None:
        """From now on; who hangs is let go."""
        self.mood = mood
        self._changed.set()
        self._changed = asyncio.Event()

    async def was_asked(self, times: int) -> None:
        """Returns after so many more requests."""
        wanted = self.asked + times
        async with asyncio.timeout(60):
            while self.asked < wanted:  # noqa: ASYNC110 - sockets tell nobody
                await asyncio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            path = head.split(" ")[1]
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            self.asked += 1
            if self.mood == "hangs":
                await self._changed.wait()
            elif self.mood == "is busy":
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            elif self.mood == "breaks off":
                writer.write(_HEAD + _event({"choices": [{"index": 0, "delta": {"content": "Half an"}}]}))
            else:
                await asyncio.sleep(self._seconds)
                writer.write(_HEAD + _ANSWER if path.endswith("/completions") else _stored(path))
            await writer.drain()
        writer.close()


def _event(body: object) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _stored(path: str) -> bytes:
    """What a Qdrant server without points says."""
    result: object = {"operation_id": 1, "status": "completed"}
    for end, empty in _EMPTY.items():
        if path.partition("?")[0].endswith(end):
            result = empty
    body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n" + body


_EMPTY: dict[str, object] = {
    "/exists": {"exists": True},
    "/points/scroll": {"points": [], "next_page_offset": None},
    "/points/query": {"points": []},
    "/points": [],
}
_HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n"
_ANSWER = (
    _event({"choices": [{"index": 0, "delta": {"content": "A whole answer."}}]})
    + _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    + b"data: [DONE]\n\n"
)


@asynccontextmanager
async def endpoint(seconds: float = 0.0) -> AsyncIterator[Endpoint]:
    """On a free port of loopback."""
    made = Endpoint(seconds)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        made.becomes("answers")
        server.close()
