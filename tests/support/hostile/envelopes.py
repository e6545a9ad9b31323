"""Headers that lie and keys that are not the contract's."""

from random import Random

Headers = list[tuple[str, bytes | None]]
_OTHER_TYPES = (
    b"tailrace.%s.v9",
    b"tailrace.%s.v0",
    b"tailrace.%s.v1 ",
    b"tailrace.prompt-cleared.v1",
    b"",
    b"\xff\xfe",
    b"x" * 9_000,
)
_TRACES = (
    *(
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-xyz",
        b"\x00",
        b"",
    ),
    *(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"0" * 50_000, b"\xff" * 55),
)


def headers(event: str, random: Random) -> tuple[str, Headers]:
    """A set of headers with something wrong in it, and what."""
    kinds: dict[str, Headers] = {
        "of another type": [("ce_type", _typed(random.choice(_OTHER_TYPES), event))],
        "of another content type": [
            ("content-type", random.choice([b"text/plain", b"application/avro", b"\xff", b""]))
        ],
        "with a hostile id": [("ce_id", random.choice([b"", b"\xff", b"x" * 100_000, b"a\r\nb", b"\x00", None]))],
        "with lying headers": [
            ("ce_source", b"/tailrace/safety"),
            ("ce_time", b"yesterday"),
            ("ce_specversion", b"9.9"),
        ],
        "with a hostile reply_to": [
            ("reply_to", random.choice([b"16", b"-1", b"1e1", b"", "\u0661".encode(), b"9" * 99, None]))
        ],
        "with a broken trace": [
            ("traceparent", random.choice(_TRACES)),
            ("tracestate", b"x=" + b"y" * random.choice([1, 9_000])),
        ],
        "with headers twice": [
            ("ce_id", b"a"),
            ("ce_id", b"b"),
            ("reply_to", b"1"),
            ("reply_to", b"x"),
            ("traceparent", None),
        ],
        "with gigantic headers": [("x" * 20_000, b"\xff" * 60_000), *[("n", b"v")] * 2_000],
        "with headers of our own": [
            ("tailrace_input", b"prompt-submitted/0/0"),
            ("dlq_code", b"x"),
            ("dlq_offset", b"-1"),
        ],
        "with odd names": [("", b""), ("\u202e", b"x"), ("a\x00b", b"x"), ("ce_type\r\n", b"x")],
    }
    kind = random.choice(sorted(kinds))
    return kind, kinds[kind]


def _typed(text: bytes, event: str) -> bytes:
    return text.replace(b"%s", event.encode())


def key(name: str, random: Random) -> bytes | None:
    """A record key that is missing, empty, shared, huge, or no text."""
    return random.choice([None, b"", b"k", b"\xff\xfe", b"\x00", b"x" * 100_000, name.upper().encode()])
