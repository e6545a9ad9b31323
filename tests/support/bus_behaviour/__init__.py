"""How delivery behaves, whatever the log: one suite for the in-memory bus and for the real broker."""

from tests.support.bus_behaviour.basics import Basics
from tests.support.bus_behaviour.failures import Failures
from tests.support.bus_behaviour.rebalancing import Rebalancing
from tests.support.bus_behaviour.remembering import Remembering
from tests.support.bus_behaviour.routing import Routing
from tests.support.bus_behaviour.stopping import Stopping


class BusBehaviour(Basics, Failures, Stopping, Routing, Remembering, Rebalancing):
    """All of it. A module that inherits this gives a fixture `bench`."""
