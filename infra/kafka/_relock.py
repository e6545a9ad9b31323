"""Writes `jars.sha256` anew: for maintainers, when the Kafka version changes. Review the difference before a commit.

Resolves the broker's dependencies with jgo's own resolver (no mvn needed), downloads them and records their hashes.
"""

import tempfile
from pathlib import Path

import jgo
from jgo.maven import MavenContext

from infra.kafka._jars import KAFKA_VERSION, LOCK_FILE, Jar, pinned, repository_url, sha256

# "!" keeps one coordinate's dependency management away from the others': log4j's would pull kafka-clients back to 3.9.
RESOLVED = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3!")
# Kafka's command-line tools. Their own dependencies are Kafka Connect's web server; the tools we show need none of it.
ALONE = (f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",)


def relock() -> list[Jar]:
    """Resolve, download, hash and write the lock file; returns what it now pins."""
    resolved = [(a.groupId, a.artifactId, a.version) for a in jgo.resolve("+".join(RESOLVED))]
    coordinates = resolved + [tuple(coordinate.split(":")) for coordinate in ALONE]
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder), remote_repos={"pinned": repository_url()}, timeout=60)
        files = [Path(maven.project(g, a).at_version(v).artifact().resolve()) for g, a, v in coordinates]
        lines = sorted(f"{sha256(file)}  {file.relative_to(folder).as_posix()}" for file in files)
    LOCK_FILE.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[1])))
    return pinned()
