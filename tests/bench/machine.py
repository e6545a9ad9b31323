"""What the figures were measured on: they mean little without."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from infra.kafka import KAFKA_VERSION


def facts() -> dict[str, str | float]:
    """Processor, memory, versions and the commit; what changed since is `+`."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "aiokafka": importlib.metadata.version("aiokafka"),
        "commit": _commit(),
    }


def load() -> float:
    """Runnable processes on average over the last minute."""
    return round(os.getloadavg()[0], 1)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or "unknown"
