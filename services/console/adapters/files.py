"""Documents and batch files on disk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schemas.documents import DocumentSubmitted
from services.console.domain.documents import MEDIA_TYPES, document_of, media_type_of
from services.console.domain.errors import ConsoleError
from services.console.handlers.documents import Load


@dataclass(frozen=True, slots=True)
class Found:
    """A document file and the id it gets."""

    path: Path
    document_id: str


def find_documents(arguments: Iterable[str], root: Path) -> list[Found]:
    """Files, folders and globs as document files, each once, in order. Raises ConsoleError for what leads nowhere."""
    found: dict[Path, Found] = {}
    for argument in arguments:
        paths = list(_expand(argument))
        if not paths:
            suffixes = " ".join(MEDIA_TYPES)
            raise ConsoleError(f'"{argument}" holds no document; known are files ending in {suffixes}', exit_code=2)
        for path in paths:
            found.setdefault(path.resolve(), Found(path, document_id(path, Path(argument), root)))
    return list(found.values())


def passed_over(arguments: Iterable[str]) -> list[Path]:
    """Files in the named folders whose suffix says that they are no documents."""
    folders = [Path(argument) for argument in arguments if Path(argument).is_dir()]
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder)}
    return sorted(path for path in files if media_type_of(path) is None)


def _expand(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file() and media_type_of(p) and not _hidden(p, path))
    elif path.is_file():
        if media_type_of(path) is None:
            raise ConsoleError(
                f'"{argument}": the suffix says no media type; known are {" ".join(MEDIA_TYPES)}', exit_code=2
            )
        yield path
    elif any(c in argument for c in "*?["):
        base = Path(path.anchor or ".")
        pattern = argument.removeprefix(path.anchor)
        yield from sorted(p for p in base.glob(pattern) if p.is_file() and media_type_of(p) and not _hidden(p, base))
    else:
        raise ConsoleError(f'"{argument}": there is no such file or folder', exit_code=2)


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.relative_to(below).parts)


def document_id(path: Path, argument: Path, root: Path) -> str:
    """The path relative to the root, or, for a file outside it, to the folder that was named."""
    whole = path.resolve()
    for base in (root.resolve(), argument.resolve() if argument.is_dir() else whole.parent):
        if whole.is_relative_to(base):
            return whole.relative_to(base).as_posix()
    return path.name


def loader(found: Found, tenant: str, collection: str) -> Load:
    """Reads the file when its turn comes."""
    return partial(_load, found, tenant, collection)


def _load(found: Found, tenant: str, collection: str) -> DocumentSubmitted:
    media_type = media_type_of(found.path)
    assert media_type is not None, "find_documents lets no other file through"
    try:
        content = found.path.read_bytes()
    except OSError as error:
        raise ConsoleError(f"the file cannot be read: {error.strerror}") from error
    return document_of(found.document_id, media_type, content, tenant, collection)


def batch_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file's lines with their numbers, from 1; blank lines are no lines of the batch."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield number, raw.rstrip(b"\r\n")
