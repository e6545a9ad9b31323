"""Header names that are no UTF-8, as aiokafka's consumer meets them."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from libs.bus._tolerant import _PartitionRecords, _Records


def batch(base: int, count: int, odd: int | None = None, codec: int = 0) -> bytes:
    """A record batch; record `odd` has a header name that is no UTF-8."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for i in range(count):
        builder.append(i, 0, b"key", f"value {base + i}".encode(), [("zz" if i == odd else "ok", b"header")])
    raw = bytearray(builder.build())
    raw[0:8] = base.to_bytes(8, "big")
    if odd is not None:
        at = raw.index(b"zz")
        raw[at : at + 2] = b"\xff\xfe"
        raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def read(raw: bytes, start: int) -> list[tuple[int, bytes, str]]:
    records = _PartitionRecords(TopicPartition("t", 0), _Records(raw), [], start, None, None, True, 0)
    return [(record.offset, record.value, record.headers[0][0]) for record in records]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=5), st.data())
def test_every_record_is_read_once_wherever_the_odd_ones_are(shape: list[tuple[int, int]], data: st.DataObject) -> None:
    raw, base, expected = b"", 0, []
    for count, odd in shape:
        raw += batch(base, count, odd if odd < count else None)
        expected += [
            (base + i, f"value {base + i}".encode(), "\ufffd\ufffd" if i == odd else "ok") for i in range(count)
        ]
        base += count
    # A broker's answer begins with the batch that holds the offset asked for.
    start = data.draw(st.integers(0, shape[0][0] - 1))
    cut = data.draw(st.integers(0, 60))
    assert read(raw + batch(base, 1)[:cut], start) == expected[start:]


def test_a_damaged_batch_is_still_an_error() -> None:
    raw = bytearray(batch(0, 2, odd=1))
    raw[-1] ^= 1
    with pytest.raises(Exception, match="CRC"):
        read(bytes(raw), 0)
