"""A PostgreSQL server of the test's own, where one is installed (Debian's packages, or on the path)."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """Where `initdb` and `postgres` are."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """The URL of a fresh database on loopback. The server ends with the block."""
    place = programs()
    assert place is not None
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    data, port = folder / "data", _free_port()
    if user is not None:
        shutil.chown(folder, user)
    initdb = [str(place / "initdb"), "--pgdata", str(data), "--username", "tailrace", "--auth", "trust", "--no-sync"]
    subprocess.run(initdb, user=user, check=True, capture_output=True, cwd=folder)
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c shared_buffers=16MB"
    control = [str(place / "pg_ctl"), "--pgdata", str(data), "--wait"]
    log = str(folder / "log")
    subprocess.run([*control, "--log", log, "--options", options, "start"], user=user, check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        yield f"postgresql://tailrace@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [*control, "--mode", "immediate", "stop"], user=user, check=False, capture_output=True, cwd=folder
        )


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder that another user can be given; pytest's own are the test user's only."""
    with tempfile.TemporaryDirectory(prefix="tailrace-postgres-") as name:
        yield Path(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
