"""How a Java process of ours is run: which Java, which class path, which flags for a small JVM that starts quickly."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.kafka._jars import fetch, jars_dir
from infra.kafka._java import Java, find_java


@dataclass(frozen=True)
class Runtime:
    """What every Java process of ours shares: the Java, the class path and the flags for a small, quick JVM."""

    java: Java = field(default_factory=find_java)
    jars: Sequence[Path] = field(default_factory=fetch)
    heap_mb: int = 384
    startup: Sequence[str] | None = None
    """Flags about the cache of loaded classes; None: use the one beside the jars where there is one."""

    def command(self, main_class: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Command line that runs `main_class`."""
        class_path = ":".join(str(jar) for jar in self.jars)
        flags = [f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *self._startup(), *options]
        return [str(self.java.executable), *flags, "-cp", class_path, main_class, *arguments]

    def _startup(self) -> Sequence[str]:
        if self.startup is not None:
            return self.startup
        cache = jars_dir() / self.java.startup_cache
        # What the JVM has to say about a cache that does not fit must not end up in a tool's output.
        return (f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr") if cache.exists() else ()
