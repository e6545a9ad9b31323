"""One JSON object a line on stderr, whoever writes it, and no local variables in tracebacks."""

import json
import subprocess
import sys
from typing import Any

LOGGING = """
import logging
from libs.telemetry.logs import configure_logs, get_logger

configure_logs("safety", 2, "LEVEL")
log = get_logger("policies")
log.info("policy read", count=3)
logging.getLogger("aiokafka").warning("broker %s is away", "b1")
logging.getLogger("aiokafka").info("said by a library")
def work():
    prompt = "ada@" + "example.org"
    raise ValueError("no")
try:
    work()
except ValueError:
    log.exception("failed")
"""


def lines(level: str) -> list[dict[str, Any]]:
    run = [sys.executable, "-c", LOGGING.replace("LEVEL", level)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "ada@example.org" not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_says_which_service_and_when() -> None:
    ours, library, failed = lines("info")
    assert (ours["event"], ours["count"], ours["component"], ours["level"]) == ("policy read", 3, "policies", "info")
    assert (library["event"], library["level"]) == ("broker b1 is away", "warning")
    for line in (ours, library, failed):
        assert (line["service"], line["instance"]) == ("safety", 2)
        assert line["timestamp"].endswith("Z")
    [cause] = failed["exception"]
    assert cause["exc_type"] == "ValueError"
    assert [frame["name"] for frame in cause["frames"]] == ["<module>", "work"]


def test_the_level_is_obeyed() -> None:
    assert [line["event"] for line in lines("error")] == ["failed"]
