"""JSON Schemas that come from outside: refused where they could stall whoever applies them, applied within a budget.

Regular expressions are RE2's, so matching is linear in the text; references stay inside the schema; the work of one
check is counted. Knows no prompts and no models.
"""

from libs.json_schema._applying import mismatch
from libs.json_schema._limits import MAX_BYTES, MAX_DEPTH, MAX_PARTS, MAX_PATTERN, check_schema
from libs.json_schema._rules import UnusableSchema

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_PARTS", "MAX_PATTERN", "UnusableSchema", "check_schema", "mismatch"]
