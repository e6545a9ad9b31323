"""`python -m infra.docker.complete SERVICE`: imports every module of a service, so that a missing library is found.

The last step of an image's build. Adapters that an operator chooses by a setting are imported like all others.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence


def modules_of(service: str) -> Iterator[str]:
    """Names of all modules of a service, its own package first; `__main__` would run it."""
    package = importlib.import_module(f"services.{service}")
    yield package.__name__
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith(".__main__"):
            yield found.name


def main(arguments: Sequence[str]) -> int:
    """Import them all; the exit status. A missing library ends in its ModuleNotFoundError."""
    (service,) = arguments
    names = list(modules_of(service))
    for name in names:
        importlib.import_module(name)
    sys.stdout.write(f"{service}: {len(names)} modules import\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
