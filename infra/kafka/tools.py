"""Kafka's own command-line tools, run with the broker's Java and class path: no Kafka distribution needed."""

from collections.abc import Sequence

from infra.kafka._runtime import Runtime
from infra.kafka.broker import LOGGING

TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "configs": "kafka.admin.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "storage": "kafka.tools.StorageTool",
    "topics": "org.apache.kafka.tools.TopicCommand",
}
"""Tool names as in Kafka's `bin/kafka-<name>.sh`, and their main classes."""


def tool_command(name: str, arguments: Sequence[str] = (), *, runtime: Runtime | None = None) -> list[str]:
    """Command line of one of `TOOLS`. Raises ValueError for an unknown name."""
    if name not in TOOLS:
        raise ValueError(f"No Kafka tool {name!r}. Known: {', '.join(TOOLS)}.")
    options = (f"-Dlog4j2.configurationFile={LOGGING.with_name('log4j2-tools.properties')}",)
    return (runtime or Runtime(heap_mb=256)).command(TOOLS[name], *arguments, options=options)
