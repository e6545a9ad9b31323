"""`python -m infra.docker.topics`: creates the catalogue's topics on the cluster that the settings name.

A setting of an existing topic that differs is told and fails the job: a person must decide.
"""

import asyncio
import sys
from dataclasses import replace

from infra.kafka.topics import ensure_topics
from libs.settings import BusSettings
from schemas.topics import CATALOGUE


def main() -> int:
    """Create what is missing; 1 if something existing is not as the catalogue wants it."""
    settings = BusSettings()
    topics = [replace(topic, name=f"{settings.topic_prefix}{topic.name}") for topic in CATALOGUE]
    report = asyncio.run(ensure_topics(settings, topics))
    sys.stdout.write(f"{len(report.created)} topics created, {len(topics) - len(report.created)} were there\n")
    for difference in report.different:
        sys.stderr.write(f"{difference}\n")
    return 0 if report.in_order else 1


if __name__ == "__main__":
    sys.exit(main())
