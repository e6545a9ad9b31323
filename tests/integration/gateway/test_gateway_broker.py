"""The gateway's edges on the real broker: replies of the past, a broker that is away, records out."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from libs.bus import Envelope, Outgoing, header
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from libs.settings import BusSettings
from schemas.documents import DocumentSubmitted
from services.gateway.adapters.bus_log import BusLog
from services.gateway.domain import Desk
from services.gateway.ports import LogUnavailable
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import MODEL, answering, outcome_record, serving_gateway

pytestmark = pytest.mark.broker


async def test_replies_from_before_the_start_are_nobodys(kafka: KafkaBus, tmp_path: Path) -> None:
    producer = await kafka.producer()
    await (await producer.send(outcome_record("early", "too early")))
    async with serving_gateway(kafka, tmp_path) as gateway, caller(gateway) as client:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "x"}],
            "tailrace": {"prompt_id": "early"},
        }
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await until_prompted(kafka)
        await (await producer.send(outcome_record("early", "in time")))
        assert (await asking).json()["choices"][0]["message"]["content"] == "in time"
    await producer.stop()


async def until_prompted(kafka: KafkaBus) -> None:
    async with asyncio.timeout(20):
        while not any((await kafka.end_offsets("prompt-submitted")).values()):
            continue


async def test_a_reply_that_cannot_be_read_harms_nobody(kafka: KafkaBus, tmp_path: Path) -> None:
    producer = await kafka.producer()
    async with answering(kafka), serving_gateway(kafka, tmp_path) as gateway, caller(gateway) as client:
        for value in (b"{", None, b"\xff"):
            await (await producer.send(Outgoing("reply", b"k", value, (("x", b"\xff"),), 0)))
        body = {"model": MODEL, "messages": [{"role": "user", "content": "echo fine"}]}
        response = await client.post("/v1/chat/completions", json=body)
        assert response.json()["choices"][0]["message"]["content"] == "fine"
    await producer.stop()


async def test_documents_lie_in_the_log_under_their_id(kafka: KafkaBus, tmp_path: Path) -> None:
    async with serving_gateway(kafka, tmp_path) as gateway, caller(gateway) as client:
        await client.post("/v1/documents", json={"document_id": "d", "content": "text"})
        await client.delete("/v1/documents/d")
    records = [
        record
        for partition in await kafka.partitions("document-submitted")
        async for record in kafka.read("document-submitted", partition)
    ]
    assert [record.key for record in records] == [b"d", b"d"]
    assert header(records[0], "ce_type") == DocumentSubmitted.ce_type().encode()
    assert header(records[0], "reply_to") is None
    assert [DocumentSubmitted.model_validate_json(r.value or b"").deleted for r in records] == [False, True]


async def test_without_a_broker_callers_are_turned_away_and_the_gateway_stops_cleanly(tmp_path: Path) -> None:
    bus = KafkaBus(BusSettings(bootstrap_servers="127.0.0.1:9"), client_id="test")
    log = BusLog(
        bus,
        Desk(1),
        instance=0,
        publish_timeout=timedelta(seconds=1),
        clock=utc_now,
        new_id=lambda: "id",
    )
    async with log:
        assert not log.ready
        with pytest.raises(LogUnavailable):
            await log.publish(DocumentSubmitted(document_id="d", content="x"), Envelope("e"))
    await bus.close()
