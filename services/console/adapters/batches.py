"""Batch jobs and schedules of a gateway, by HTTP."""

import re
from collections.abc import Iterator
from typing import Any

import httpx

from services.console.adapters.connection import GatewayAddress
from services.console.adapters.gateway import checked
from services.console.domain.errors import ConsoleError

_ID = re.compile(r"[\w-]+")


class Batches:
    """One gateway's, of the key's tenant. Raises RefusedError, and ConsoleError where the gateway cannot be reached."""

    def __init__(self, address: GatewayAddress, *, page: int = 100) -> None:
        """`page`: as many jobs at once are asked for, at most 100."""
        self._address = address
        self._page = page

    def jobs(self, limit: int) -> Iterator[dict[str, Any]]:
        """The newest first."""
        after: dict[str, str] = {}
        while limit > 0:
            page = self._ask("GET", "/v1/batches", {"limit": str(min(limit, self._page)), **after})
            yield from page["data"]
            if not page["has_more"]:
                return
            limit -= len(page["data"])
            after = {"after": page["last_id"]}

    def job(self, batch_id: str) -> dict[str, Any]:
        """One of them."""
        return self._ask("GET", _path(batch_id))

    def cancel(self, batch_id: str) -> dict[str, Any]:
        """Asks for its end; the job as it is now."""
        return self._ask("POST", f"{_path(batch_id)}/cancel")

    def schedules(self) -> dict[str, Any]:
        """The tenant's schedules."""
        return self._ask("GET", "/v1/schedules")

    def _ask(self, method: str, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self._address.api_key}"}
        try:
            with httpx.Client(base_url=self._address.url, headers=headers, timeout=30, trust_env=False) as client:
                found: dict[str, Any] = checked(client.request(method, path, params=query)).json()
        except httpx.HTTPError as error:
            told = str(error) or type(error).__name__
            raise ConsoleError(f"the gateway at {self._address.url} does not answer: {told}") from error
        except ValueError:
            raise ConsoleError(f"what answers at {self._address.url} is no gateway: {path} is no JSON there") from None
        return found


def _path(batch_id: str) -> str:
    if not _ID.fullmatch(batch_id):
        raise ConsoleError(f'"{batch_id}" is no id of a batch; `tailrace batch list` shows them', exit_code=2)
    return f"/v1/batches/{batch_id}"
