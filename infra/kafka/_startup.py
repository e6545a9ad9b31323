"""A quicker start: Java 25 can keep the loaded and linked classes of one run for all later ones (JEP 483, 514).

Made once by `python -m infra.kafka fetch`; about halves the processor time of a broker's start. Without it, or with an
older Java, all works the same, only slower. The JVM ignores a cache that does not fit its own build or the jars.
"""

import tempfile
from pathlib import Path

from filelock import FileLock

from infra.kafka._jars import jars_dir
from infra.kafka._runtime import Runtime
from infra.kafka.cluster import Cluster

FIRST_RELEASE = 25
PATIENCE = 180.0
"""The JVM writes the cache when it ends; that takes it several seconds."""


def make_startup_cache(runtime: Runtime | None = None) -> Path | None:
    """Run a broker once to record what it loads. Returns the cache; None where this Java cannot make one."""
    runtime = runtime or Runtime()
    if runtime.java.version < FIRST_RELEASE:
        return None
    cache = jars_dir() / runtime.java.startup_cache
    with FileLock(jars_dir() / ".lock"):
        if not cache.exists():
            _record(runtime, cache)
    return cache if cache.exists() else None


def _record(runtime: Runtime, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".record-") as folder:
        plain = Runtime(java=runtime.java, jars=runtime.jars, startup=())
        # Formatted without recording: the JVM keeps the classes of one run only, and the broker's are the many.
        with Cluster(Path(folder) / "kafka", runtime=plain, die_with_parent=True):
            pass
        draft = Path(folder) / cache.name
        recording = Runtime(java=runtime.java, jars=runtime.jars, startup=(f"-XX:AOTCacheOutput={draft}",))
        cluster = Cluster(Path(folder) / "kafka", runtime=recording, die_with_parent=True).start()
        cluster.stop(grace=PATIENCE)
        if draft.exists():
            draft.replace(cache)
