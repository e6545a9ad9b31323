"""Importing a module does nothing: no socket, no thread, no process, no file written. Light services stay light."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import services

NAMES = sorted(path.parent.name for path in Path(services.__file__).parent.glob("*/app.py"))
LIGHT = sorted(set(NAMES) - {"grounding", "inference"})
HEAVY = {"torch", "transformers", "ray", "sentence_transformers", "spacy", "tensorflow"}

WATCHED = r"""
import json, os, sys, threading

def hook(name, arguments):
    writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and arguments[0] in ("/dev/null", os.devnull):
        return
    if name == "socket.bind" and arguments[1] == ("::1", 0):
        return  # urllib3 asks once whether there is IPv6
    if writes or name in NAMES:
        done.append([name, repr(arguments)[:200]])

NAMES = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork",
         "os.posix_spawn", "os.mkdir", "os.rename", "os.remove", "shutil.rmtree", "tempfile.mkstemp"}
done = []
sys.addaudithook(hook)
for module in sys.argv[1:]:
    __import__(module)
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
modules = sorted({module.partition(".")[0] for module in sys.modules})
print(json.dumps({"done": list(done), "threads": threads, "modules": modules}))
"""


@cache
def importing(*modules: str) -> dict[str, list[str]]:
    """What a fresh interpreter did while it imported these."""
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *modules],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"},
    )
    seen: dict[str, list[str]] = json.loads(ran.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_service_touches_nothing(name: str) -> None:
    seen = importing(f"services.{name}.app")
    assert not seen["done"]
    assert not seen["threads"]


@pytest.mark.parametrize("name", LIGHT)
def test_a_service_without_a_model_of_its_own_loads_no_model_library(name: str) -> None:
    assert not HEAVY & set(importing(f"services.{name}.app")["modules"])


def test_importing_the_contracts_loads_neither_kafka_nor_http() -> None:
    modules = set(importing("schemas", "schemas.publish", "schemas.compatibility")["modules"])
    assert not modules & {"aiokafka", "faststream", "httpx", "uvicorn", "opentelemetry"}


def test_detection_of_personal_data_loads_two_small_libraries_and_nothing_else() -> None:
    seen = importing("libs.personal_data")
    loaded = set(seen["modules"]) - set(importing("libs")["modules"]) - sys.stdlib_module_names
    assert {module for module in loaded if not module.startswith("_")} == {"phonenumbers", "stdnum"}
    assert not seen["done"]


def test_the_watch_sees_what_a_module_does(tmp_path: Path) -> None:
    (tmp_path / "busybody.py").write_text(
        "import socket, threading\n"
        "socket.socket().bind(('127.0.0.1', 0))\n"
        f"open({str(tmp_path / 'made')!r}, 'w').close()\n"
        "threading.Thread(target=threading.Event().wait, args=(1,), name='busy', daemon=True).start()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, "busybody"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    seen = json.loads(ran.stdout)
    assert {name for name, _ in seen["done"]} == {"socket.bind", "open"}
    assert seen["threads"] == ["busy"]
