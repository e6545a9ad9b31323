"""HTTP as OpenAI speaks it: requests in, completions, streams and errors out."""

from services.gateway.adapters.http.api import Dependencies, create_http
from services.gateway.adapters.http.edge import Edge

__all__ = ["Dependencies", "Edge", "create_http"]
