"""The real Apache Kafka broker for laptops and tests: fetched, started, health-checked and stopped by our own code.

Needs neither a JDK nor Maven nor root. Production clusters are run by others; only `ensure_topics` matters there.
"""

from infra.kafka._jars import KAFKA_VERSION, JarError, fetch, jars_dir
from infra.kafka._java import Java, find_java
from infra.kafka._ports import free_ports
from infra.kafka._runtime import Runtime
from infra.kafka._startup import make_startup_cache
from infra.kafka.broker import Broker, BrokerError
from infra.kafka.cluster import Cluster
from infra.kafka.tools import TOOLS, tool_command
from infra.kafka.topics import Difference, Report, TopicsError, compare_topics, ensure_topics

__all__ = [
    "KAFKA_VERSION",
    "TOOLS",
    "Broker",
    "BrokerError",
    "Cluster",
    "Difference",
    "JarError",
    "Java",
    "Report",
    "Runtime",
    "TopicsError",
    "compare_topics",
    "ensure_topics",
    "fetch",
    "find_java",
    "free_ports",
    "jars_dir",
    "make_startup_cache",
    "tool_command",
]
