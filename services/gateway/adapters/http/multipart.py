"""A form with a file, read piece by piece: fields are kept, the file's content is handed on as it comes.

Nothing of the file is held; fields and headers are bounded.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from services.gateway.adapters.http.errors import ApiError

_LARGEST_FIELD = 4096
_LARGEST_HEADER = 8192
_MOST_PARTS = 32
_OVERHEAD = 1024 * 1024
_DISCARD = 2
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")


@dataclass
class Form:
    """What has been read so far."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    """None: there was no file."""


class _Parts:
    """The parser's callbacks."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.content: list[bytes] = []
        self.ended = False
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field: bytearray | None = None
        self._field_name = ""

    def callbacks(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in dir(self) if name.startswith("on_")}

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _wrong(f"the form has more than {_MOST_PARTS} parts")
        self._headers, self._name, self._value = {}, b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        if len(self._name) > _LARGEST_HEADER:
            raise _wrong("a header of the form is too long")

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        if len(self._value) > _LARGEST_HEADER:
            raise _wrong("a header of the form is too long")

    def on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field_name = options.get(b"name", b"").decode(errors="replace")
        self._field = bytearray()
        if self._field_name == "file":
            if self.form.filename is not None:
                raise _wrong("the form has two files: send one", "file")
            self._field = None
            self.form.filename = _file_name(options.get(b"filename", b""))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.content.append(bytes(data[start:end]))
            return
        self._field += data[start:end]
        if len(self._field) > _LARGEST_FIELD:
            raise _wrong(f'"{self._field_name[:64]}" has more than {_LARGEST_FIELD} bytes', self._field_name[:64])

    def on_part_end(self) -> None:
        if self._field is not None:
            self.form.fields[self._field_name] = self._field.decode(errors="replace")

    def on_end(self) -> None:
        self.ended = True


async def file_content(request: Request, form: Form, *, limit: int, patience: float) -> AsyncIterator[bytes]:
    """The file's content; `form` is complete when it ends. `patience`: seconds of silence. Raises ApiError."""
    parts = _Parts(form)
    parser = MultipartParser(_boundary(request), parts.callbacks())  # type: ignore[arg-type]
    size = 0
    async for data in _bounded(request, limit, patience):
        try:
            parser.write(data)
        except FormParserError as error:
            raise _wrong(f"the form cannot be read ({type(error).__name__})") from None
        for piece in parts.content:
            size += len(piece)
            if size <= limit:
                yield piece
        parts.content.clear()
    if size > limit:
        raise _too_large(limit)
    if not parts.ended:
        raise _wrong("the form is cut short: its closing boundary is missing")
    if form.filename is None:
        raise _wrong('the form has no part "file"', "file")


async def _bounded(request: Request, limit: int, patience: float) -> AsyncIterator[bytes]:
    """What is sent; too large a file is read on for a while, so that who is still sending gets to read the answer."""
    stream, size = aiter(request.stream()), 0
    while size <= limit * _DISCARD + _OVERHEAD:
        try:
            async with asyncio.timeout(patience):
                data = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ApiError(408, "request_timeout", "the file did not arrive in time", None, 1) from None
        size += len(data)
        yield data
    raise _too_large(limit)


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        message = 'the body must be a form with a file: send "content-type: multipart/form-data; boundary=..."'
        raise ApiError(415, "unsupported_media_type", message, "content-type")
    return options[b"boundary"]


def _file_name(given: bytes) -> str:
    name = given.decode(errors="replace").replace("\\", "/").rpartition("/")[2]
    return name if _NAME.fullmatch(name) else "upload.jsonl"


def _wrong(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, "invalid_request", message, param)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "file_too_large", f"the file has more than {limit} bytes: split it", "file")
