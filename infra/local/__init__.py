"""The local stack: the broker and one process per service under one supervisor, which `up` starts and `down` stops.

No terminal printing: what happens is told through callbacks and returned as models.
"""

from infra.local._waiting import OnProgress, Progress, StackError
from infra.local.control import Stopped, down, up
from infra.local.home import Home, default_home
from infra.local.options import ENGINES, SERVICES, ServiceSpec, UpOptions, choose
from infra.local.status import InstanceStatus, ServiceStatus, StackStatus, astatus, status

__all__ = [
    "ENGINES",
    "SERVICES",
    "Home",
    "InstanceStatus",
    "OnProgress",
    "Progress",
    "ServiceSpec",
    "ServiceStatus",
    "StackError",
    "StackStatus",
    "Stopped",
    "UpOptions",
    "astatus",
    "choose",
    "default_home",
    "down",
    "status",
    "up",
]
