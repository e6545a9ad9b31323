"""What tests of batches say to a gateway through the official client."""

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

from openai import AsyncOpenAI
from openai.types import Batch

from tests.unit.gateway.parts import KEY, MODEL, Gateway

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
ENDED = {"completed", "failed", "expired", "cancelled"}


def quick(folder: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a gateway that does not wait long."""
    return {"batch_dir": folder / "batches", "batch_look": 0.05, "batch_farewell": 0.5, **settings}


def calling(gateway: Gateway, key: str = KEY) -> AsyncOpenAI:
    """The official client."""
    return AsyncOpenAI(base_url=gateway.v1, api_key=key, max_retries=0, timeout=30)


def line(custom_id: str, content: str, **body: Any) -> str:
    """One line of a batch file."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": content}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": asked})


async def started(client: AsyncOpenAI, *lines: str, **options: Any) -> Batch:
    """A batch of these lines."""
    file = await client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options)


async def ended(client: AsyncOpenAI, batch: Batch) -> Batch:
    """The batch, once it has come to an end."""
    async with asyncio.timeout(30):
        while (found := await client.batches.retrieve(batch.id)).status not in ENDED:  # noqa: ASYNC110 - polled, as callers do
            await asyncio.sleep(0.02)
    return found


async def results(client: AsyncOpenAI, file_id: str | None) -> dict[str, Any]:
    """Result lines by custom id."""
    assert file_id is not None
    text = (await client.files.content(file_id)).text
    return {found["custom_id"]: found for found in map(json.loads, text.splitlines())}
