"""What the supervisor knows, in a file: it writes, `up`, `down` and `status` read. Survives its writer's death."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.local._processes import ProcessId
from infra.local.home import Home
from libs.files import write_whole

InstancePhase = Literal["starting", "ready", "restarting", "stopping", "stopped"]
StackPhase = Literal["starting", "running", "stopping", "failed"]


class Instance(BaseModel):
    """One process of a service, or the broker."""

    model_config = ConfigDict(frozen=True)

    service: str
    ordinal: int = 0
    phase: InstancePhase = "starting"
    process: ProcessId | None = None
    restarts: int = 0
    failures: int = 0
    """Ends in a row without having been ready."""
    exit_code: int | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    """What its ready file says: `health_port`, of the gateway also `url`."""
    log: str = ""

    @property
    def name(self) -> str:
        """E.g. `grounding-1`."""
        return f"{self.service}-{self.ordinal}"


class State(BaseModel):
    """The whole stack."""

    model_config = ConfigDict(frozen=True)

    supervisor: ProcessId
    phase: StackPhase = "starting"
    problem: str | None = None
    bootstrap_servers: str = ""
    brokers: tuple[Instance, ...] = ()
    instances: tuple[Instance, ...] = ()
    warnings: tuple[str, ...] = ()

    def everyone(self) -> tuple[Instance, ...]:
        """Brokers and service instances."""
        return (*self.brokers, *self.instances)


def read_state(home: Home) -> State | None:
    """The last written state; None when there is none that can be read."""
    try:
        return State.model_validate_json(home.state.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


class Board:
    """The supervisor's state; each change is on disk when the call returns."""

    def __init__(self, home: Home, state: State) -> None:
        self._home = home
        self.state = state
        self._write()

    def change(self, **changes: Any) -> None:
        """Replace fields of the stack."""
        self.state = self.state.model_copy(update=changes)
        self._write()

    def updater(self, kind: Literal["brokers", "instances"], position: int) -> Callable[..., Instance]:
        """A function that replaces fields of one instance and returns it."""

        def update(**changes: Any) -> Instance:
            found = list(getattr(self.state, kind))
            found[position] = found[position].model_copy(update=changes)
            self.change(**{kind: tuple(found)})
            return Instance.model_validate(found[position])

        return update

    def _write(self) -> None:
        write_whole(self._home.state, self.state.model_dump_json(indent=1))
