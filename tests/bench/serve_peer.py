"""The peer over HTTP: `transformers serve` with its continuous batching, in a process of its own.

Its defaults suit a GPU: on a CPU its cache takes 60 % of the free memory, and every step pays for that. Here the cache
holds what sixteen prompts need.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from openai import AsyncOpenAI

from tests.bench.answers import Asking
from tests.bench.generators import NEW

_FLAGS = ("--cb-block-size", "32", "--cb-num-blocks", "128", "--cb-max-batch-tokens", "256")
_UP_SECONDS = 180.0


@dataclass(frozen=True)
class Served:
    """A running server: how to ask it, and its own CPU seconds."""

    ask: Asking
    process: psutil.Process

    def clock(self) -> float:
        """CPU seconds of the server."""
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)


@asynccontextmanager
async def transformers_serve(model: Path, dtype: str, log: Path) -> AsyncIterator[Served]:
    """One thread, on the CPU, ready to be asked. Raises RuntimeError with its log where it does not come up."""
    port = _free_port()
    arguments = (
        "serve", str(model), "--continuous-batching", "--device", "cpu", "--dtype", dtype,
        "--host", "127.0.0.1", "--port", str(port), *_FLAGS,
    )  # fmt: skip
    command = str(Path(sys.executable).with_name("transformers"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(command, *arguments, stdout=file, stderr=file, env=environment)
    try:
        await _until_up(process, port, log)
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=900) as client:
            yield Served(_asking(client, str(model)), psutil.Process(process.pid))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _asking(client: AsyncOpenAI, model: str) -> Asking:
    async def ask(text: str, hear: Callable[[], None]) -> int:
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            max_tokens=NEW,
            temperature=0,
            stream=True,
        )
        tokens = 0
        async for chunk in stream:
            if chunk.usage is not None:
                tokens = chunk.usage.completion_tokens
            elif chunk.choices and chunk.choices[0].delta.content:
                hear()
        return tokens

    return ask


async def _until_up(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with asyncio.timeout(_UP_SECONDS), httpx.AsyncClient() as client:
        while process.returncode is None:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/health")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.5)
    raise RuntimeError(f"transformers serve ended with {process.returncode}: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
