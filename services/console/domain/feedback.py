"""What an operator types about an answer becomes the gateway's request. Exactly one judgement at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.domain.errors import ConsoleError

_OPTIONS = "--up, --down, --rating, --edit, --prefer-over, --report, --withdraw"


@dataclass(frozen=True, slots=True)
class Typed:
    """The judgement's options; those that were not typed are None."""

    thumb: bool | None = None
    rating: int | None = None
    edit: str | None = None
    """The better text, or the name of a file that holds it."""
    prefer_over: str | None = None
    report: str | None = None
    withdraw: str | None = None


def judgement(typed: Typed) -> tuple[str, bool | int | str]:
    """Kind and value. Raises ConsoleError where it is none, or more than one."""
    chosen: list[tuple[str, bool | int | str]] = [
        (kind, value)
        for kind, value in (
            ("thumb", typed.thumb),
            ("rating", typed.rating),
            ("edit", typed.edit),
            ("choice", typed.prefer_over),
            ("report", typed.report),
            ("withdrawal", typed.withdraw),
        )
        if value is not None
    ]
    if len(chosen) != 1:
        raise ConsoleError(f"say one thing at a time: one of {_OPTIONS}", exit_code=2)
    kind, value = chosen[0]
    return kind, _edited(str(value)) if kind == "edit" else value


def _edited(given: str) -> str:
    """A file's text where there is such a file."""
    if len(given) > 255 or "\n" in given or not Path(given).is_file():
        return given
    try:
        return Path(given).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConsoleError(f"{given}: byte {error.start + 1} is not UTF-8; convert the file first") from None


def request(response_id: str, typed: Typed, **more: Any) -> dict[str, Any]:
    """The body of `POST /v1/feedback`; what was not said is left out."""
    kind, value = judgement(typed)
    said = {name: given for name, given in more.items() if given is not None}
    return {"response_id": response_id, "kind": kind, "value": value, **said}
