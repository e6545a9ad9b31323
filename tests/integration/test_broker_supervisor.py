"""The local stack with the real broker and small real child processes: up, down, status, and what dies in between."""

import asyncio
import hashlib
import json
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from infra.local import Progress, ServiceSpec, StackError, StackStatus, UpOptions, astatus, down, status, up

pytestmark = pytest.mark.broker

CHILD = """
import json, os, pathlib, signal
ready = pathlib.Path(os.environ["TAILRACE_READY_FILE"])
facts = {"pid": os.getpid(), "health_port": 1}
if (port := os.environ.get("TAILRACE_GATEWAY_PORT")):
    facts["url"] = "http://127.0.0.1:" + port
pathlib.Path(os.environ["TAILRACE_DATA_DIR"], "environ.json").write_text(json.dumps(dict(os.environ)))
draft = ready.with_suffix(".draft")
draft.write_text(json.dumps(facts))
draft.replace(ready)
signal.sigwait({signal.SIGTERM})
"""


def service(name: str, program: str = CHILD, instances: int = 1) -> ServiceSpec:
    # The mask makes sigwait get the signal instead of the default handler.
    masked = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})\n{program}"
    return ServiceSpec(name=name, command=(sys.executable, "-c", masked), instances=instances)


def options(home: Path, *services: ServiceSpec) -> UpOptions:
    return UpOptions(home=home, services=services, restart_delay=0.05, failures=2, grace=5)


def processes(found: StackStatus) -> dict[str, psutil.Process]:
    """Every live process of a stack by its name."""
    parts = {"broker": found.broker, **found.services}
    named = {
        f"{name}-{instance.instance}": instance.pid
        for name, part in parts.items()
        if part
        for instance in part.instances
    }
    return {name: psutil.Process(pid) for name, pid in {**named, "supervisor": found.supervisor_pid}.items() if pid}


def environ_of(home: Path, instance: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((home / "data" / instance / "environ.json").read_text())
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> UpOptions:
    home = tmp_path_factory.mktemp("stack") / ".tailrace"
    return options(home, service("ingestion"), service("grounding", instances=2), service("gateway"))


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def stack(asked: UpOptions, told: list[Progress]) -> Iterator[StackStatus]:
    try:
        yield up(asked, told.append)
    finally:
        down(asked.home)


def test_up_returns_when_everything_is_ready(stack: StackStatus, told: list[Progress]) -> None:
    assert stack.state == "running"
    assert {name: part.state for name, part in stack.services.items()} == {
        "ingestion": "ready",
        "grounding": "ready",
        "gateway": "ready",
    }
    assert {p.subject for p in told if p.state == "ready"} == {
        "broker-0",
        "ingestion-0",
        "grounding-0",
        "grounding-1",
        "gateway-0",
    }


def test_status_has_what_scripts_look_for(stack: StackStatus) -> None:
    found = json.loads(stack.model_dump_json())
    assert found["bootstrap_servers"].startswith("127.0.0.1:")
    assert found["gateway"].startswith("http://127.0.0.1:")
    assert set(found["services"]["grounding"]) >= {"state", "pid", "restarts", "lag", "instances"}
    assert [i["instance"] for i in found["services"]["grounding"]["instances"]] == [0, 1]
    assert found["services"]["grounding"]["rss_bytes"] > 2**20
    assert found["rss_bytes"] > found["broker"]["rss_bytes"] > 50 * 2**20


def test_each_instance_is_told_who_it_is_and_where_its_things_are(stack: StackStatus, asked: UpOptions) -> None:
    first, second = environ_of(asked.home, "grounding-0"), environ_of(asked.home, "grounding-1")
    assert (first["TAILRACE_INSTANCE"], second["TAILRACE_INSTANCE"]) == ("0", "1")
    assert first["TAILRACE_DATA_DIR"] != second["TAILRACE_DATA_DIR"]
    assert first["TAILRACE_BOOTSTRAP_SERVERS"] == stack.bootstrap_servers
    assert len(first["TAILRACE_SAFETY_SEAL_PUBLIC_KEY"]) == 44


def test_the_gateway_gets_the_hash_of_the_key_and_the_operator_the_key(stack: StackStatus, asked: UpOptions) -> None:
    environ = environ_of(asked.home, "gateway-0")
    [entry] = json.loads(Path(environ["TAILRACE_GATEWAY_API_KEYS_FILE"]).read_text())
    assert stack.api_key
    assert entry == {"sha256": hashlib.sha256(stack.api_key.encode()).hexdigest(), "tenant": "default"}
    assert stack.api_key not in json.dumps(environ)
    for secret in (asked.home / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_second_up_changes_nothing_and_says_so(stack: StackStatus, asked: UpOptions) -> None:
    told: list[Progress] = []
    again = up(asked, told.append)
    assert again.supervisor_pid == stack.supervisor_pid
    assert told[0].state == "already running"
    assert "down" not in told[0].detail
    up(asked.model_copy(update={"services": asked.services[:1]}), told.append)
    assert "`down` first" in [p for p in told if p.state == "already running"][-1].detail


def test_a_killed_service_is_started_again(asked: UpOptions, stack: StackStatus) -> None:
    before = status(asked.home).services["ingestion"]
    assert before.pid
    victim = psutil.Process(before.pid)
    victim.kill()
    assert psutil.wait_procs([victim], timeout=10)[1] == []
    after = up_until(asked, lambda found: found.services["ingestion"].restarts > before.restarts)
    assert after.services["ingestion"].state == "ready"
    assert after.services["ingestion"].pid != before.pid
    assert after.services["grounding"].restarts == stack.services["grounding"].restarts


def up_until(asked: UpOptions, reached: Callable[[StackStatus], bool]) -> StackStatus:
    """`up` waits until all is ready; right after a death the supervisor may not have noticed it yet."""
    while not reached(found := up(asked)):
        pass
    return found


def test_a_killed_broker_comes_back_at_the_same_address(asked: UpOptions, stack: StackStatus) -> None:
    broker = processes(status(asked.home))["broker-0"]
    broker.kill()
    assert psutil.wait_procs([broker], timeout=10)[1] == []
    after = up_until(asked, lambda found: bool(found.broker and found.broker.restarts))
    assert after.bootstrap_servers == stack.bootstrap_servers
    assert after.broker
    assert after.broker.state == "ready"


async def test_lag_counts_what_the_group_has_not_finished(asked: UpOptions, stack: StackStatus) -> None:
    assert await ingestion_lag(asked.home) == 0
    assert stack.services["gateway"].lag is None
    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, acks="all") as producer:
        for number in range(3):
            await producer.send_and_wait("prompt-submitted", b"%d" % number, partition=0)
    assert await ingestion_lag(asked.home) == 3
    async with AIOKafkaConsumer(
        bootstrap_servers=stack.bootstrap_servers, group_id="tailrace-ingestion", enable_auto_commit=False
    ) as consumer:
        consumer.assign([TopicPartition("prompt-submitted", 0)])
        await consumer.commit({TopicPartition("prompt-submitted", 0): 2})
    assert await ingestion_lag(asked.home) == 1


async def ingestion_lag(home: Path) -> int:
    """Once the broker, which has just started, can tell."""
    async with asyncio.timeout(60):
        while (lag := (await astatus(home)).services["ingestion"].lag) is None:
            pass
    return lag


def test_down_ends_every_process_and_keeps_the_data(tmp_path: Path) -> None:
    asked = options(tmp_path, service("ingestion"))
    try:
        first = up(asked)
        live = processes(first)
        stopped = down(tmp_path)
        assert stopped.supervisor == first.supervisor_pid
        assert stopped.leftovers == ()
        assert [name for name, process in live.items() if process.is_running()] == []
        after = status(tmp_path)
        assert (after.state, after.services) == ("down", {})
        assert down(tmp_path).supervisor is None
        again = up(asked)
        assert (again.bootstrap_servers, again.api_key) == (first.bootstrap_servers, first.api_key)
    finally:
        down(tmp_path)


def test_what_a_killed_supervisor_leaves_is_found_by_up_and_by_down(tmp_path: Path) -> None:
    asked = options(tmp_path, service("ingestion"))
    try:
        live = processes(up(asked))
        live["supervisor"].kill()
        assert psutil.wait_procs([live["supervisor"]], timeout=10)[1] == []
        assert live["ingestion-0"].is_running()
        orphaned = status(tmp_path)
        assert orphaned.state == "unsupervised"
        assert any("ingestion-0" in leftover for leftover in orphaned.leftovers)
        told: list[Progress] = []
        again = processes(up(asked, told.append))
        found = [p.detail for p in told if p.state == "found and stopped"]
        assert any("ingestion-0" in detail for detail in found)
        assert any("java" in detail for detail in found)
        assert not live["ingestion-0"].is_running()
        again["supervisor"].kill()
        assert psutil.wait_procs([again["supervisor"]], timeout=10)[1] == []
        assert any("ingestion-0" in leftover for leftover in down(tmp_path).leftovers)
        assert not any(process.is_running() for process in again.values())
    finally:
        down(tmp_path)


def test_a_service_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = service("grounding", "raise SystemExit('no index at /nowhere: run documents add')")
    try:
        with pytest.raises(StackError, match=r"(?s)grounding-0 ended 2 times.*exit code 1.*no index at /nowhere"):
            up(options(tmp_path, service("ingestion"), broken))
        found = status(tmp_path)
        assert found.services["ingestion"].state == "ready"
        assert found.services["grounding"].restarts >= 1
    finally:
        down(tmp_path)
