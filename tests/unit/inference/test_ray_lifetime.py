"""Ray on this machine belongs to the service: it ends with it, however it ends, and is reachable from here only."""

import asyncio
import contextlib
import ipaddress
import signal
import sys

import psutil
import pytest

STARTED = """
import asyncio
from pathlib import Path
from services.inference.adapters.ray_serve import RayEngine
from services.inference.settings import InferenceSettings

async def main():
    settings = InferenceSettings(context_tokens=64, slots=2, reserved_slots=0)
    async with RayEngine(settings, Path("models")):
        print("started", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def addresses(processes: list[psutil.Process]) -> set[str]:
    """Where these processes listen."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            listening = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            found |= {str(c.laddr.ip) for c in listening}
    return found


def alive(process: psutil.Process) -> bool:
    """Whether it still runs. A dead process that nobody has reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.model
@pytest.mark.timeout(300)
async def test_ray_listens_on_loopback_only_and_dies_with_a_service_killed_without_warning() -> None:
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTED, stdout=asyncio.subprocess.PIPE)
    assert service.stdout is not None
    assert await service.stdout.readline() == b"started\n"
    children = psutil.Process(service.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in children)
    listening = addresses(children)
    service.send_signal(signal.SIGKILL)
    await service.wait()
    async with asyncio.timeout(90):
        while any(alive(child) for child in children):
            await asyncio.to_thread(psutil.wait_procs, children, 0.5)
    assert listening
    assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in listening)


@pytest.mark.model
@pytest.mark.timeout(300)
async def test_a_service_ends_when_its_ray_dies_on_the_way_up_so_that_it_is_started_again() -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTED, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    node = await appears("raylet", psutil.Process(service.pid))
    node.send_signal(signal.SIGKILL)
    said, complaint = await service.communicate()
    assert service.returncode not in (0, None)
    assert said == b""
    assert complaint


async def appears(name: str, parent: psutil.Process) -> psutil.Process:
    """The child of that name, as soon as it is there."""
    async with asyncio.timeout(120):
        while True:
            for child in parent.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if child.name() == name:
                        return child
            await asyncio.to_thread(psutil.wait_procs, [parent], 0.05)
