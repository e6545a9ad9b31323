"""The parts of the benchmark by name. Its module lists it in `PARTS` and is imported only when it is asked for.

So a part may import heavy libraries at its top. To add one: a file under `parts/`, a line here.
"""

from collections.abc import Sequence
from importlib import import_module

from tests.bench.frame import Part

MODULES = {
    "a1": "identity_path",
    "a2": "service_path",
    "a3": "service_path",
    "b": "throughput",
    "c": "slow_handlers",
    "d": "generation",
    "e": "gateways",
    "f": "growth",
    "g": "feedback",
    "h": "training",
    "i": "gate",
}
"""In the order of running."""


def parts(names: Sequence[str]) -> list[Part]:
    """The parts of these names, or all. Raises KeyError for a name there is none of."""
    if unknown := set(names) - MODULES.keys():
        raise KeyError(f"no part {', '.join(sorted(unknown))}; there are: {' '.join(MODULES)}")
    return [_part(name) for name in MODULES if not names or name in names]


def _part(name: str) -> Part:
    module = import_module(f"tests.bench.parts.{MODULES[name]}")
    found: Part = next(part for part in module.PARTS if part.name == name)
    return found
