"""Damage to a body's bytes: what is no JSON, no UTF-8, too deep, or only nearly what it should be."""

import gzip
from collections.abc import Callable
from random import Random

Damage = Callable[[bytes, Random], bytes | None]
_ODD_VALUES = (
    *(b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 5_000, b"1" + b"0" * 400, b"1.0e-400", b"-0", b"00", b"0x1F"),
    *(
        b"1_000",
        b'"\\ud800"',
        b'"\\udfff\\ud800"',
        b'"\\u0000"',
        b'"\x00"',
        b'"\xff\xfe"',
        b'"\xed\xa0\x80"',
        b'"\\x41"',
    ),
    *(b"'x'", b"undefined", b"[" * 200 + b"]" * 200, b"[" * 100_000, b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000),
    b'"' + b"\xf0\x9f\x98\x80" * 5_000 + b'"',
)


def broken(text: bytes, random: Random) -> tuple[str, bytes | None]:
    """The body with one kind of damage, and its name."""
    damage = random.choice(_DAMAGES)
    return damage.__name__.strip("_").replace("_", " "), damage(text, random)


def _truncated(text: bytes, random: Random) -> bytes:
    return text[: random.randrange(1, len(text))]


def _with_a_byte_changed(text: bytes, random: Random) -> bytes:
    at = random.randrange(len(text))
    return text[:at] + bytes([random.randrange(256)]) + text[at + 1 :]


def _with_bytes_put_in(text: bytes, random: Random) -> bytes:
    at = random.randrange(len(text))
    return text[:at] + random.randbytes(random.randint(1, 8)) + text[at:]


def _with_a_stretch_taken_out(text: bytes, random: Random) -> bytes:
    start = random.randrange(len(text))
    return text[:start] + text[start + random.randint(1, 40) :]


def _with_a_structural_mark_changed(text: bytes, random: Random) -> bytes:
    places = [at for at, byte in enumerate(text) if byte in b'{}[]":,']
    at = random.choice(places)
    return text[:at] + random.choice([b"", b"{", b"]", b",,", b":", b'"', b"\\"]) + text[at + 1 :]


def _with_an_odd_value(text: bytes, random: Random) -> bytes:
    return text[:-1] + b', "seed": ' + random.choice(_ODD_VALUES) + b"}"


def _with_an_odd_value_for_a_known_field(text: bytes, random: Random) -> bytes:
    field = random.choice(
        [b"parameters", b"metadata", b"tenant", b"messages", b"content", b"conversation_id", b"title"]
    )
    return text[:-1] + b', "' + field + b'": ' + random.choice(_ODD_VALUES) + b"}"


def _with_a_key_twice(text: bytes, random: Random) -> bytes:
    return b'{"tenant": 1, "prompt_id": [], "document_id": {}, "tenant": "x", ' + text[1:]


def _with_a_mark_of_order(text: bytes, random: Random) -> bytes:
    return b"\xef\xbb\xbf" + text


def _in_another_encoding(text: bytes, random: Random) -> bytes:
    return text.decode().encode(random.choice(["utf-16", "utf-16-le", "utf-32", "utf-7", "cp037"]))


def _compressed(text: bytes, random: Random) -> bytes:
    return gzip.compress(text * 20, mtime=0)


def _followed_by_more(text: bytes, random: Random) -> bytes:
    return text + random.choice([b"x", text, b"\x00", b"]", b"//", b"\n\n{}"])


def _inside_something_else(text: bytes, random: Random) -> bytes:
    return random.choice([b"[%s]", b'{"event": %s}', b'"%s"', b"<x>%s</x>", b"/* */ %s"]) % text


def _of_random_bytes(text: bytes, random: Random) -> bytes:
    return random.randbytes(random.randint(1, 2_000))


def _that_is_another_value(text: bytes, random: Random) -> bytes:
    return random.choice([b"", b" ", b"null", b"true", b"7", b'"x"', b"[]", b"{}", b"[" * 100_000, b'{"a":' * 100_000])


def _null(text: bytes, random: Random) -> None:
    return None


_DAMAGES: tuple[Damage, ...] = (
    *(_truncated, _with_a_byte_changed, _with_bytes_put_in, _with_a_stretch_taken_out, _with_a_structural_mark_changed),
    *(_with_an_odd_value, _with_an_odd_value_for_a_known_field, _with_a_key_twice, _with_a_mark_of_order),
    *(_in_another_encoding, _compressed, _followed_by_more, _inside_something_else, _of_random_bytes),
    *(_that_is_another_value, _null),
)
