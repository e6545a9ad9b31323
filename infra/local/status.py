"""What runs now: the supervisor's state, checked against the live processes, with memory and lag."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from infra.local._processes import describe, marked, marks
from infra.local._secrets import api_key
from infra.local.home import Home, default_home
from infra.local.lag import consumer_lag
from infra.local.state import Instance, State, read_state
from libs.settings import BusSettings

StackWord = Literal["down", "starting", "running", "stopping", "failed", "unsupervised"]
"""`unsupervised`: the supervisor is dead, but processes of its stack still live. `down` ends them."""


class InstanceStatus(BaseModel):
    """One process. `state`: starting, ready, restarting, stopping, stopped or dead."""

    model_config = ConfigDict(frozen=True)

    instance: int
    state: str
    pid: int | None
    restarts: int
    rss_bytes: int
    """Resident memory, of its children as well."""
    health_port: int | None = None
    exit_code: int | None = None
    log: str


class ServiceStatus(BaseModel):
    """A service: `state` is that of its worst instance, `pid` that of its first."""

    model_config = ConfigDict(frozen=True)

    state: str
    pid: int | None
    restarts: int
    lag: int | None
    """Records not finished yet; None where there is no consumer group or the broker does not answer."""
    rss_bytes: int
    instances: tuple[InstanceStatus, ...]


class StackStatus(BaseModel):
    """What `tailrace status --json` prints."""

    model_config = ConfigDict(frozen=True)

    state: StackWord
    home: str
    supervisor_pid: int | None = None
    bootstrap_servers: str | None = None
    gateway: str | None = None
    api_key: str | None = None
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    """Processes of a stack whose supervisor is dead."""
    rss_bytes: int = 0
    """Resident memory of everything, the supervisor included."""
    broker: ServiceStatus | None = None
    services: dict[str, ServiceStatus] = {}

    @property
    def ready(self) -> bool:
        """Whether all of it is."""
        parts = [*self.services.values(), *([self.broker] if self.broker else [])]
        return self.state == "running" and all(part.state == "ready" for part in parts)


def status(home: Path | None = None, *, with_lag: bool = True) -> StackStatus:
    """The stack of `home` (default: of the current directory). Not for use within a running event loop."""
    return asyncio.run(astatus(home, with_lag=with_lag))


async def astatus(home: Path | None = None, *, with_lag: bool = True) -> StackStatus:
    """The same, to be awaited."""
    place = Home((home or default_home()).absolute())
    state = await asyncio.to_thread(read_state, place)
    known = state if state and (state.supervisor.alive or any(_alive(i) for i in state.everyone())) else None
    lags, problem = await _lags(known) if known and with_lag else ({}, "")
    found = await asyncio.to_thread(_status, place, state, lags)
    return found.model_copy(update={"warnings": (*found.warnings, problem)}) if problem else found


async def _lags(state: State) -> tuple[dict[str, int | None], str]:
    """Lag by service, or none and why it could not be had."""
    services = sorted({instance.service for instance in state.instances})
    if not any(_alive(broker) for broker in state.brokers) or not state.bootstrap_servers:
        return {}, ""
    try:
        async with asyncio.timeout(10):
            return await consumer_lag(BusSettings(bootstrap_servers=state.bootstrap_servers), services), ""
    except (KafkaError, TimeoutError) as error:
        return {}, f"lag is unknown: the broker at {state.bootstrap_servers} did not tell ({error!r})"


def _status(home: Home, state: State | None, lags: dict[str, int | None]) -> StackStatus:
    supervised = state is not None and state.supervisor.alive
    leftovers = () if supervised else tuple(describe(p) for p in marked(marks(home.folder)))
    common: dict[str, Any] = {"home": str(home.folder), "api_key": api_key(home), "leftovers": leftovers}
    if state is None:
        return StackStatus(state="unsupervised" if leftovers else "down", **common)
    services = {
        name: _service([i for i in state.instances if i.service == name], lags.get(name))
        for name in dict.fromkeys(i.service for i in state.instances)
    }
    broker = _service(state.brokers, None) if state.brokers else None
    # Its children are the services, counted one by one.
    own = _rss(state.supervisor.pid, alone=True) if supervised else 0
    return StackStatus(
        state=_word(state, supervised=supervised, leftovers=leftovers),
        supervisor_pid=state.supervisor.pid if supervised else None,
        bootstrap_servers=state.bootstrap_servers or None,
        gateway=next((i.facts["url"] for i in state.instances if "url" in i.facts), None),
        problem=state.problem,
        warnings=state.warnings,
        rss_bytes=own + sum(s.rss_bytes for s in (*services.values(), *([broker] if broker else []))),
        broker=broker,
        services=services,
        **common,
    )


def _word(state: State, *, supervised: bool, leftovers: Sequence[str]) -> StackWord:
    if supervised or state.phase == "failed":
        return state.phase
    return "unsupervised" if leftovers else "down"


WORST_FIRST = ("dead", "restarting", "starting", "stopping", "stopped", "ready")


def _service(instances: Iterable[Instance], lag: int | None) -> ServiceStatus:
    found = tuple(_instance(instance) for instance in instances)
    return ServiceStatus(
        state=min((i.state for i in found), key=WORST_FIRST.index),
        pid=found[0].pid,
        restarts=sum(i.restarts for i in found),
        lag=lag,
        rss_bytes=sum(i.rss_bytes for i in found),
        instances=found,
    )


def _instance(instance: Instance) -> InstanceStatus:
    alive = _alive(instance)
    gone = instance.process is not None and not alive
    return InstanceStatus(
        instance=instance.ordinal,
        state="dead" if gone else instance.phase,
        pid=instance.process.pid if instance.process and alive else None,
        restarts=instance.restarts,
        rss_bytes=_rss(instance.process.pid) if instance.process and alive else 0,
        health_port=instance.facts.get("health_port"),
        exit_code=instance.exit_code,
        log=instance.log,
    )


def _alive(instance: Instance) -> bool:
    return instance.process is not None and instance.process.alive


def _rss(pid: int, *, alone: bool = False) -> int:
    """Resident memory of a process and, unless it is counted `alone`, of all it started, in bytes."""
    try:
        process = psutil.Process(pid)
        family = [process] if alone else [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_own_rss(member) for member in family)


def _own_rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
