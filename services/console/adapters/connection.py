"""Where the broker and the gateway are: the environment says so, or else the local stack's state does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from aiokafka.errors import KafkaError

from infra.local import StackStatus, status
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from services.console.domain.errors import ConsoleError
from services.console.settings import ConsoleSettings

T = TypeVar("T")
_HINT = "start the local stack with `tailrace up`, or set {names}"


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """A gateway and the key for it."""

    url: str
    api_key: str


def bus_settings(local: Callable[[], StackStatus] = lambda: status(with_lag=False)) -> BusSettings:
    """How to reach the broker. Raises ConsoleError where nobody says."""
    given = BusSettings()
    if "bootstrap_servers" in given.model_fields_set:
        return given
    if not (servers := local().bootstrap_servers):
        raise ConsoleError("no broker is known; " + _HINT.format(names="TAILRACE_BOOTSTRAP_SERVERS"))
    return given.model_copy(update={"bootstrap_servers": servers})


def gateway_address(
    settings: ConsoleSettings, local: Callable[[], StackStatus] = lambda: status(with_lag=False)
) -> GatewayAddress:
    """Where to ask, and as whom. Raises ConsoleError where nobody says."""
    stack = None if settings.gateway and settings.api_key else local()
    url = settings.gateway or (stack.gateway if stack else None)
    key = settings.api_key.get_secret_value() if settings.api_key else stack.api_key if stack else None
    if not (url and key):
        names = "TAILRACE_CONSOLE_GATEWAY and TAILRACE_CONSOLE_API_KEY"
        raise ConsoleError("no running gateway is known; " + _HINT.format(names=names))
    return GatewayAddress(_checked(url).rstrip("/"), key)


def _checked(url: str) -> str:
    try:
        given = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConsoleError(f'TAILRACE_CONSOLE_GATEWAY "{url}" is no address: {error}', exit_code=2) from None
    if given.scheme not in {"http", "https"} or not given.host:
        raise ConsoleError(f'TAILRACE_CONSOLE_GATEWAY "{url}" is no address such as http://host:8080', exit_code=2)
    return url


@asynccontextmanager
async def connected(settings: BusSettings) -> AsyncIterator[KafkaBus]:
    """A bus for the time of one command. Raises ConsoleError when no broker answers or topics are missing."""
    bus = KafkaBus(settings, client_id="tailrace-console")
    try:
        if not await bus.reachable():
            raise ConsoleError(f"no broker answers at {settings.bootstrap_servers}; is it running? (tailrace status)")
        yield bus
    except (KafkaError, LookupError) as error:
        raise ConsoleError(f"the broker at {settings.bootstrap_servers} says: {error}") from error
    finally:
        await bus.close()


def with_bus(work: Callable[[KafkaBus], Coroutine[Any, Any, T]]) -> T:
    """Runs a command's work on the bus the environment or the local stack names."""
    return connected_to(bus_settings(), work)


def connected_to(settings: BusSettings, work: Callable[[KafkaBus], Coroutine[Any, Any, T]]) -> T:
    """Runs a command's work on that bus."""

    async def run() -> T:
        async with connected(settings) as bus:
            return await work(bus)

    return asyncio.run(run())
