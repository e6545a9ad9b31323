"""The peer gateway: LiteLLM's proxy, in an environment of its own that is made once in the shared cache.

Set as its documentation advises where speed counts: errors only in the log, no database, no callbacks, no guardrails,
no retries, a worker for each core. Its dependencies never meet ours.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import yaml

from infra.kafka import free_ports
from libs.settings import cache_dir

VERSION = "1.106.2"
# Those of its own image. Without them it looks for the missing libraries on every request, at half its speed.
EXTRAS = "proxy,extra_proxy,proxy-runtime"
KEY = "sk-bench"
MODEL = "echo"
_PATIENCE = 240.0
_QUIET = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
}


class NotInstalled(RuntimeError):  # noqa: N818 - it says what is the case
    """LiteLLM is not there, and why."""


def installed(cache: Path | None = None) -> Path:
    """The command, installed where it is not yet; takes a minute then. Raises NotInstalled where that fails."""
    home = (cache or cache_dir()) / "bench" / f"litellm-{VERSION}"
    command, whole = home / "bin" / "litellm", home / "whole"
    if whole.exists():
        return command
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        raise NotInstalled(f"LiteLLM {VERSION} is not in {home}, and there is no uv to install it with")
    for arguments in (
        ("venv", "--clear", "--python", sys.executable, str(home)),
        (
            "pip",
            "install",
            "--compile-bytecode",
            "--python",
            str(home / "bin" / "python"),
            f"litellm[{EXTRAS}]=={VERSION}",
        ),
    ):
        done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise NotInstalled(f"LiteLLM {VERSION} could not be installed into {home}: {reason[0]}")
    whole.touch()
    return command


def configuration(endpoint: str) -> Mapping[str, object]:
    """Its config file: one model, whose requests go to the endpoint's base URL."""
    parameters = {"model": f"openai/{MODEL}", "api_base": endpoint, "api_key": "none"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"num_retries": 0, "request_timeout": 120, "set_verbose": False},
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": KEY, "disable_spend_logs": True},
    }


@asynccontextmanager
async def litellm_proxy(command: Path, endpoint: str, workers: int, folder: Path) -> AsyncIterator[str]:
    """A running proxy before the endpoint; yields its base URL. Raises RuntimeError with its log if it ends early."""
    port, log = free_ports(1)[0], folder / "litellm.log"
    config = folder / "litellm.yaml"
    config.write_text(yaml.safe_dump(configuration(endpoint)))
    arguments = (
        "--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", workers,
        # On a busy machine a worker that still imports is else taken for dead, and replaced, for ever.
        "--timeout_worker_healthcheck", 120,
    )  # fmt: skip
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            command, *map(str, arguments), cwd=folder, env={**os.environ, **_QUIET},
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        await _until_up(process, f"http://127.0.0.1:{port}/health/liveliness", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # Its workers are processes of the same session; they must not outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _until_up(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    async with aiohttp.ClientSession() as client:
        while process.returncode is None and time.monotonic() < end:
            with suppress(aiohttp.ClientError):
                async with client.get(url) as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.5)
    state = "is not up yet" if process.returncode is None else f"ended with {process.returncode}"
    raise RuntimeError(f"LiteLLM {state}: {log.read_text()[-2000:]}")
