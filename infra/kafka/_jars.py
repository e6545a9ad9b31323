"""The broker's jars: which they are, fetched once into the shared cache, each checked against a committed SHA-256.

`jars.sha256` is the lock: `sha256sum` format, paths as in a Maven repository, so `sha256sum -c` works in the cache.
Fetching downloads exactly these files and resolves nothing; `relock` (maintainers, on a version change) resolves.
Knows no broker settings and starts no process.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from libs.settings import cache_dir

KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name("jars.sha256")
ATTEMPTS = 3

Download = Callable[["Jar", Path], Path]
"""Fetches one jar somewhere below the given folder and says where."""


class JarError(RuntimeError):
    """A jar could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar: its hash and its path in any Maven repository."""

    sha256: str
    path: PurePosixPath

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`, as Maven writes it."""
        *group, artifact, version = self.path.parent.parts
        return f"{'.'.join(group)}:{artifact}:{version}"


def pinned() -> list[Jar]:
    """The jars of the committed lock, in class path order."""
    lines = LOCK_FILE.read_text().splitlines()
    return [Jar(sha256, PurePosixPath(path)) for sha256, path in (line.split() for line in lines)]


def jars_dir() -> Path:
    """Where the jars lie, shared by all clones on this machine."""
    return cache_dir() / f"kafka-{KAFKA_VERSION}"


def sha256(path: Path) -> str:
    """Hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    folder: Path | None = None, *, download: Download | None = None, jars: Iterable[Jar] | None = None
) -> list[Path]:
    """Jars of the class path, whole and checked; what is missing or damaged in `folder` is fetched anew.

    Safe to call from many processes at once. Raises JarError naming the jar that cannot be had.
    """
    folder = folder or jars_dir()
    wanted = list(pinned() if jars is None else jars)
    if _unusable(wanted, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _fetch_into(folder, _unusable(wanted, folder), download or _download)
    return [folder / jar.path for jar in wanted]


def _unusable(jars: list[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not (folder / jar.path).is_file() or sha256(folder / jar.path) != jar.sha256]


def _fetch_into(folder: Path, jars: list[Jar], download: Download) -> None:
    staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            for _ in pool.map(lambda jar: _fetch_one(jar, folder, staging, download), jars):
                pass
        # They were made from the jars that have just been replaced.
        for startup_cache in folder.glob("*.aot"):
            startup_cache.unlink()
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(jar: Jar, folder: Path, staging: Path, download: Download) -> None:
    problem = "never tried"
    for attempt in range(ATTEMPTS):
        try:
            fetched = download(jar, staging / str(attempt))
        except (OSError, RuntimeError) as error:
            problem = f"could not be downloaded: {error}"
            continue
        found = sha256(fetched)
        if found == jar.sha256:
            target = folder / jar.path
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(target)
            return
        problem = f"has SHA-256 {found}, but {LOCK_FILE.name} pins {jar.sha256}"
    raise JarError(
        f"{jar.coordinate} {problem} ({ATTEMPTS} attempts). Check the network and the repository "
        f"({repository_url()}; TAILRACE_MAVEN_URL names another), then run: python -m infra.kafka fetch"
    )


def repository_url() -> str:
    """The Maven repository jars come from."""
    return os.environ.get("TAILRACE_MAVEN_URL", "https://repo.maven.apache.org/maven2").rstrip("/")


def _download(jar: Jar, staging: Path) -> Path:
    # A warm cache never needs jgo, and importing it takes longer than checking every hash.
    from jgo.maven import MavenContext  # noqa: PLC0415

    group, artifact, version = jar.coordinate.split(":")
    maven = MavenContext(repo_cache=staging, remote_repos={"pinned": repository_url()}, timeout=60)
    return Path(maven.project(group, artifact).at_version(version).artifact().resolve())
