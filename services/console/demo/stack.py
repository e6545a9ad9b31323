"""The tour's own stack: in a temporary folder, on free ports, and gone afterwards, whatever happens.

With `keep` it is the stack of the working directory, and stays.
"""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from aiokafka.errors import KafkaError

from infra.local import Home, Progress, ServiceSpec, StackError, StackStatus, choose, default_home, down, status, up
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from services.console.adapters.connection import GatewayAddress
from services.console.adapters.gateway import Gateway
from services.console.demo import script, tour
from services.console.demo.loop.report import Loop
from services.console.demo.loop.script import FOLDER as LOOP
from services.console.demo.loop.stations import the_loop
from services.console.demo.report import Memory, Report
from services.console.demo.upstream import upstream
from services.console.domain.errors import ConsoleError
from services.console.handlers.trace import trace

Say = Callable[[str], None]
ROOT = Path(__file__).parents[3]
_LOG_LINES = 15
_SMALL = {
    "retraining": {"TAILRACE_RETRAINING_RECIPES": LOOP / "recipes"},
    "evaluation": {"TAILRACE_EVALUATION_GATES": LOOP / "gates"},
}


def guided_tour(*, engine: str, loop: bool, keep: bool, say: Say, on_text: Callable[[str], None]) -> Report:
    """Starts, tours, stops. `loop`: with training, gate and rollback.

    Raises ConsoleError with the end of the log of what failed.
    """
    began = time.perf_counter()
    interruption = _Interruption()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-"))
    home = default_home() if keep else folder / "home"
    try:
        say("starting the broker and the services")
        stack = _started(engine, home, say, loop=loop)
        started = round(time.perf_counter() - began, 1)
        return asyncio.run(_tour(stack, engine, folder, say, on_text, started, began, loop=loop))
    except (StackError, ConsoleError, TimeoutError, KafkaError) as error:
        raise ConsoleError(_told(error, home)) from error
    finally:
        interruption.disarm()
        if not keep:
            say("stopping everything")
            down(home)
        shutil.rmtree(folder, ignore_errors=True)
        interruption.restore()


def _started(engine: str, home: Path, say: Say, *, loop: bool) -> StackStatus:
    def tell(progress: Progress) -> None:
        say(f"  {progress.subject} {progress.state} {progress.detail}".rstrip())

    options = choose(engine=engine, home=home)
    small = options.model_copy(update={"services": tuple(map(_for_the_loop, options.services))})
    up(small if loop else options, tell)
    # At rest: before the first prompt.
    return status(home)


def _for_the_loop(spec: ServiceSpec) -> ServiceSpec:
    """Recipes and gates of a size for a laptop and a few minutes."""
    own = _SMALL.get(spec.name, {})
    return spec.model_copy(update={"environ": {**spec.environ, **{key: str(path) for key, path in own.items()}}})


class _Interruption:
    """The first Ctrl-C, or SIGTERM, ends the tour; nothing ends the cleaning up."""

    def __init__(self) -> None:
        self._armed = True
        self._before = {n: signal.signal(n, self._interrupt) for n in (signal.SIGINT, signal.SIGTERM)}

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def disarm(self) -> None:
        """From here on signals wait in vain."""
        self._armed = False

    def restore(self) -> None:
        """Signals mean what they meant before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


async def _tour(
    stack: StackStatus,
    engine: str,
    folder: Path,
    say: Say,
    on_text: Callable[[str], None],
    started: float,
    began: float,
    *,
    loop: bool,
) -> Report:
    if not (stack.bootstrap_servers and stack.gateway and stack.api_key):
        raise ConsoleError("the stack runs, but says neither where its broker nor where its gateway is")
    bus = KafkaBus(BusSettings(bootstrap_servers=stack.bootstrap_servers), client_id="tailrace-demo")
    gateway = Gateway(GatewayAddress(stack.gateway, stack.api_key))
    try:
        say("indexing the project's own documentation")
        indexed = await tour.index_documentation(bus, ROOT)
        questions = []
        for question in script.GROUNDED:
            say(f"asking over HTTP: {question}")
            questions.append(await tour.over_http(gateway, question, on_text))
            on_text("\n")
        async with upstream(stack.bootstrap_servers) as plain:
            say(f"asking over Kafka: {script.OVER_KAFKA}")
            questions.append(await tour.over_kafka(plain, script.OVER_KAFKA))
            say("sending personal data, an injection attempt, and a message cut short")
            private = await tour.private(bus, plain)
            injection = await tour.over_kafka(plain, script.INJECTION)
            malformed = await tour.malformed(bus, plain)
        say(f"running a batch of {script.BATCH_LINES} lines while questions go on")
        flood = await tour.flood(bus, gateway, folder)
        questions = [await tour.with_all_stages(bus, asked) for asked in questions]
        looped = await _loop(stack, bus, say) if loop else None
        way = await trace(bus, questions[0].prompt_id, "default", None, 0)
        if way is None:
            raise ConsoleError("the first question left no trace on the topics")
    finally:
        gateway.close()
        await bus.close()
    busy = await asyncio.to_thread(status, Path(stack.home), with_lag=False)
    return Report(
        engine=engine,
        start_seconds=started,
        indexed=indexed,
        questions=tuple(questions),
        private=private,
        injection=injection,
        malformed=malformed,
        flood=flood,
        way=way,
        loop=looped,
        memory=Memory(idle=_memory(stack), busy=_memory(busy)),
        seconds=round(time.perf_counter() - began, 1),
    )


async def _loop(stack: StackStatus, bus: KafkaBus, say: Say) -> Loop:
    assert stack.bootstrap_servers is not None
    async with upstream(stack.bootstrap_servers) as plain:
        return await the_loop(bus, plain, Home(Path(stack.home)), say)


def _memory(stack: StackStatus) -> dict[str, int]:
    parts = {**({"broker": stack.broker} if stack.broker else {}), **stack.services}
    return {**{name: part.rss_bytes for name, part in parts.items()}, "all": stack.rss_bytes}


def _told(error: Exception, home: Path) -> str:
    """What failed, and the end of the log of each service that is not well, or of all of them."""
    text = str(error) or "an answer did not come in time"
    if isinstance(error, StackError):
        # It ends with advice for a stack that goes on running; this one does not.
        return text.partition("\nWhat else started still runs")[0]
    instances = [i for service in status(home, with_lag=False).services.values() for i in service.instances]
    unwell = [i for i in instances if i.state != "ready" or i.restarts] or instances
    return "\n".join([text, *(f"\nend of {i.log}:\n{_tail(Path(i.log))}" for i in unwell)])


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    except OSError:
        return "(no log)"
