"""Feedback to a gateway, by HTTP."""

from typing import Any

import httpx

from services.console.adapters.connection import GatewayAddress
from services.console.adapters.gateway import checked
from services.console.domain.errors import ConsoleError


def send_feedback(address: GatewayAddress, body: dict[str, Any]) -> dict[str, Any]:
    """The receipt. Raises RefusedError, and ConsoleError where the gateway cannot be reached."""
    headers = {"authorization": f"Bearer {address.api_key}"}
    try:
        with httpx.Client(base_url=address.url, headers=headers, timeout=30, trust_env=False) as client:
            receipt: dict[str, Any] = checked(client.post("/v1/feedback", json=body)).json()
    except httpx.HTTPError as error:
        told = str(error) or type(error).__name__
        raise ConsoleError(f"the gateway at {address.url} does not answer: {told}") from error
    return receipt
