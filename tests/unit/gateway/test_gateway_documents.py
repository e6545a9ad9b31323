"""Documents and models over HTTP, readiness, and the OpenAPI document."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import InMemoryBus
from schemas.documents import DocumentSubmitted
from services.gateway.adapters.http.body import param_of
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import MODEL, Gateway, Pipeline, serving_gateway


def documents(bus: InMemoryBus) -> list[DocumentSubmitted]:
    return [DocumentSubmitted.model_validate_json(r.value or b"") for r in bus.records("document-submitted")]


async def test_a_document_is_in_the_log_when_its_receipt_comes(
    client: httpx.AsyncClient, in_memory: InMemoryBus
) -> None:
    body = {"document_id": "a/b", "collection": "handbook", "title": "T", "content": "# T", "metadata": {"k": "v"}}
    response = await client.post("/v1/documents", json=body)
    assert response.status_code == 202
    assert response.json() == {
        "id": "a/b",
        "object": "document",
        "collection": "handbook",
        "status": "submitted",
        "deleted": False,
    }
    [document] = documents(in_memory)
    assert document == DocumentSubmitted(tenant="default", **body)


async def test_a_document_without_an_id_is_given_one(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    receipts = [(await client.post("/v1/documents", json={"content": "x"})).json() for _ in range(2)]
    made = {receipt["id"] for receipt in receipts}
    assert {document.document_id for document in documents(in_memory)} == made
    assert len(made) == 2


async def test_the_same_idempotency_key_makes_the_same_document_id(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k"}
    ids = {(await client.post("/v1/documents", json={"content": "x"}, headers=headers)).json()["id"] for _ in range(2)}
    assert len(ids) == 1


async def test_a_document_is_deleted_by_its_id(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    response = await client.delete("/v1/documents/a%2Fb/c?collection=handbook")
    assert response.status_code == 202
    assert response.json()["deleted"] is True
    [document] = documents(in_memory)
    assert (document.document_id, document.collection, document.deleted) == ("a/b/c", "handbook", True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "x", "content_base64": "eA=="},
        {"content_base64": "%"},
        {"content": "x", "media_type": "application/pdf"},
        {"content": "x", "media_type": "image/png"},
        {"content": "x", "collection": "a b"},
        {"content": "x", "tenant": "acme"},
    ],
)
async def test_a_malformed_document_is_told_so(
    body: dict[str, Any], client: httpx.AsyncClient, in_memory: InMemoryBus
) -> None:
    response = await client.post("/v1/documents", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]
    assert not documents(in_memory)


@pytest.mark.parametrize("path", ["/v1/documents/x?collection=a%20b", f"/v1/documents/{'x' * 513}", "/v1/documents/"])
async def test_a_deletion_that_makes_no_sense_is_told_so(path: str, client: httpx.AsyncClient) -> None:
    response = await client.delete(path)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_the_configured_models_are_listed(in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path) -> None:
    models = (MODEL, "org/other-model")
    async with serving_gateway(in_memory, tmp_path, models=models) as gateway, caller(gateway) as client:
        listed = (await client.get("/v1/models")).json()
        assert [card["id"] for card in listed["data"]] == list(models)
        assert (await client.get("/v1/models/org/other-model")).json() == listed["data"][1]
        body = {"model": "org/other-model", "messages": [{"role": "user", "content": "echo x"}]}
        await client.post("/v1/chat/completions", json=body)
    assert pipeline.prompts[0].model == "org/other-model"


async def test_health_says_when_replies_are_read(gateway: Gateway) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{gateway.health_url}/ready")).json() == {"ready": True, "waiting": []}


async def test_an_instance_without_a_partition_does_not_start(in_memory: InMemoryBus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 to 15"):
        async with serving_gateway(in_memory, tmp_path, instance=16):
            pass


async def test_the_openapi_document_is_complete(gateway: Gateway) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        document = (await client.get(f"{gateway.url}/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/documents",
        "/v1/documents/{document_id}",
        "/v1/files",
        "/v1/files/{file_id}",
        "/v1/files/{file_id}/content",
        "/v1/batches",
        "/v1/batches/{batch_id}",
        "/v1/batches/{batch_id}/cancel",
        "/v1/schedules",
        "/v1/feedback",
        "/v1/subjects/{subject}",
    }
    schemas = document["components"]["schemas"]
    missing = {ref for ref in _references(document) if ref.rpartition("/")[2] not in schemas}
    assert not missing
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatRequest")
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert chat["security"] == [{"HTTPBearer": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/json"]["schema"]
                    assert schema["$ref"].endswith("/ErrorBody"), (operation["operationId"], status)


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in node.values()))
    return set().union(*(_references(value) for value in node)) if isinstance(node, list) else set()


def test_a_place_is_written_as_openai_does() -> None:
    assert param_of(("messages", 0, "content", "parts", 1, "text")) == "messages[0].content[1].text"
    assert param_of(("stop", "parts", 2)) == "stop[2]"
    assert param_of(()) == ""
