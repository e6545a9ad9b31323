"""The AsyncAPI 3 document of the whole system, made from the running code: `python -m infra.asyncapi` writes it.

What services hear and say comes from their own routes through FastStream; what topics and events are, from the
catalogue. Nothing is opened and no model is loaded.
"""

from infra.asyncapi._document import PATH, as_text, document
from infra.asyncapi._services import Operation, operations, parts_of

__all__ = ["PATH", "Operation", "as_text", "document", "operations", "parts_of"]
