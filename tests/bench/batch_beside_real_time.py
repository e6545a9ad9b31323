"""`python -m tests.bench.batch_beside_real_time`: what a running batch does to those who wait for an answer.

A whole local stack, a batch of many lines through `/v1/batches`, and real-time prompts one at a time over HTTP, quiet
and while the batch runs. The echo engine answers in a stated time; `--engine transformers` is the real model. Memory
of the gateway is looked at all the while.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

import httpx
import psutil

WORDS = ["how", "far", "behind", "may", "a", "group", "fall", "before", "anyone", "is", "told", "of", "it"]


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, in the unit of the values."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(values)}


@contextmanager
def stack(engine: str, token_seconds: float) -> Iterator[dict[str, Any]]:
    """A local stack of the benchmark's own; its `status`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "TAILRACE_HOME": folder,
            "HF_HUB_OFFLINE": "1",
            "TAILRACE_INFERENCE_ECHO_TOKEN_SECONDS": str(token_seconds),
            # Every prompt costs what it costs: none is answered from the cache.
            "TAILRACE_INFERENCE_CACHE_ENTRIES": "0",
        }

        def tailrace(*arguments: str) -> str:
            command = [sys.executable, "-m", "services.console", *arguments]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        tailrace("up", "--engine", engine)
        try:
            yield json.loads(tailrace("status", "--json"))
        finally:
            tailrace("down")


class Caller:
    """Someone who waits."""

    def __init__(self, url: str, key: str, tokens: int) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=300, trust_env=False
        )
        self._tokens = tokens
        self._random = random.Random(7)
        self.model = self._client.get("/v1/models").json()["data"][0]["id"]

    def body(self, **options: Any) -> dict[str, Any]:
        """A question of its own, twenty words long."""
        words = [self._random.choice(WORDS) for _ in range(20)]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": " ".join(words)}],
            "max_completion_tokens": self._tokens,
            "tailrace": {"grounding": {"mode": "off"}},
            **options,
        }

    def ask(self) -> tuple[float, float]:
        """Milliseconds to the first text, and to the end."""
        started, first = time.perf_counter(), 0.0
        with self._client.stream("POST", "/v1/chat/completions", json=self.body(stream=True)) as response:
            for line in response.iter_lines():
                if not first and line.startswith("data: {") and '"content":"' in line and '"content":""' not in line:
                    first = (time.perf_counter() - started) * 1000
        whole = (time.perf_counter() - started) * 1000
        return first or whole, whole

    def start_batch(self, lines: int) -> str:
        """Uploads so many lines and starts them; the batch's id."""
        asked = (
            json.dumps({"custom_id": f"c-{n}", "method": "POST", "url": "/v1/chat/completions", "body": self.body()})
            for n in range(lines)
        )
        content = "\n".join(asked).encode()
        file = self._client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("b.jsonl", content)}).json()
        batch = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return str(self._client.post("/v1/batches", json=batch).json()["id"])

    def batch(self, batch_id: str) -> dict[str, Any]:
        """The batch as it is now."""
        found: dict[str, Any] = self._client.get(f"/v1/batches/{batch_id}").json()
        return found


def asking(caller: Caller, prompts: int, enough: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """One prompt after the other, until there are so many or `enough` says so."""
    times: list[tuple[float, float]] = []
    while len(times) < prompts and not enough():
        times.append(caller.ask())
        time.sleep(0.05)
    first, whole = zip(*times, strict=True)
    return {"prompts": len(times), "first text": percentiles(list(first)), "answer": percentiles(list(whole))}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Quiet, then beside the batch, then what the batch took."""
    with stack(arguments.engine, arguments.token_seconds) as status:
        caller = Caller(status["gateway"], status["api_key"], arguments.tokens)
        gateway = psutil.Process(status["services"]["gateway"]["pid"])
        asking(caller, 5)
        quiet = asking(caller, arguments.prompts)
        memory = [gateway.memory_info().rss / 2**20]
        started = time.perf_counter()
        batch_id = caller.start_batch(arguments.lines)
        after_upload = gateway.memory_info().rss / 2**20
        while caller.batch(batch_id)["request_counts"]["completed"] < min(64, arguments.lines // 4):
            time.sleep(0.2)

        def ended() -> bool:
            memory.append(gateway.memory_info().rss / 2**20)
            return bool(caller.batch(batch_id)["status"] == "completed")

        beside = asking(caller, arguments.prompts, ended)
        while not arguments.leave and not ended():
            time.sleep(0.5)
        found = caller.batch(batch_id)
        seconds = time.perf_counter() - started
    done = found["request_counts"]["completed"]
    return {
        "engine": arguments.engine,
        "lines": arguments.lines,
        "quiet": quiet,
        "beside the batch": beside,
        "batch": {"status": found["status"], "answered": done, "seconds": seconds, "lines per second": done / seconds},
        "gateway MiB": {"before": memory[0], "after the upload": after_upload, "largest": max(memory)},
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batch_beside_real_time", description=__doc__)
    parser.add_argument("--engine", choices=("echo", "transformers"), default="echo")
    parser.add_argument("--token-seconds", type=float, default=0.005, help="of the echo engine, for each word")
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--leave", action="store_true", help="end before the batch does")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"a batch of {found['lines']} lines, engine {found['engine']}; real-time prompts in milliseconds")
    for side in ("quiet", "beside the batch"):
        for what in ("first text", "answer"):
            shown = "".join(f"  {name} {value:8.1f}" for name, value in found[side][what].items())
            print(f"  {side:<17}{what:<11}{shown}   ({found[side]['prompts']} prompts)")
    batch, memory = found["batch"], found["gateway MiB"]
    print(f"  batch: {batch['status']}, {batch['answered']} answered, {batch['lines per second']:.1f} lines/s")
    print("  gateway MiB: " + ", ".join(f"{name} {value:.0f}" for name, value in memory.items()))


if __name__ == "__main__":
    main()
