"""Whether a value satisfies a schema, in bounded time."""

from collections.abc import Mapping
from typing import Any

from jsonschema.exceptions import UnknownType, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from libs.json_schema._rules import UnusableSchema, budget, dialect_of

MAX_STEPS = 100_000
"""Of one check; 0.3 s at most on a slow core."""


def mismatch(value: Any, schema: Mapping[str, Any], *, steps: int = MAX_STEPS) -> ValidationError | None:
    """The most telling error of the value, or None. Raises UnusableSchema where the schema cannot be applied.

    `jsonschema`'s error: its message quotes the value.
    """
    kind = dialect_of(schema)
    # Without its dialect: a reference back to the top would change over to rules that are not ours.
    bare = {name: part for name, part in schema.items() if name != "$schema"}
    # No document is ever fetched.
    registry: Registry[Any] = Registry()
    with budget(steps):
        try:
            found: ValidationError | None = best_match(kind(bare, registry=registry).iter_errors(value))
        except Unresolvable:
            raise UnusableSchema("a reference leads nowhere inside the schema") from None
        except RecursionError:
            raise UnusableSchema("a reference leads back to itself without end") from None
        except UnknownType:
            raise UnusableSchema('a "type" in it is none of JSON Schema\'s') from None
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            if isinstance(error, UnusableSchema):
                raise
            # Schemas may name things that only the rules of another part understand.
            raise UnusableSchema("it cannot be applied: a number or a reference in it is out of range") from None
    return found
