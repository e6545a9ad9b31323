"""Damage to a body's structure: wrong types, missing and unknown fields, values out of range, anywhere in the tree."""

import copy
from random import Random
from typing import Any

PERSON = "Jane Roe, jane.roe@example.org, DE89370400440532013000, 4111 1111 1111 1111"
"""Personal data. No error may quote it."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, "", " "),
    *("\x00", "\ufeff", "\u202e", "null", "%s%n"),
    *("../../etc/passwd", "{{ 7 * 7 }}", "{% for x in range(10**9) %}x{% endfor %}", "${jndi:ldap://x/y}"),
    *("'; DROP TABLE prompts; --", "<EMAIL_ADDRESS_1>", "A" * 10_000, "\U0001f600" * 200, "a\r\nb: c", PERSON),
    *([], {}, [[]], {"": {}}, [None] * 50, {"a": {"b": {"c": []}}}, ["x"] * 2_000, {f"k{n}": n for n in range(300)}),
)  # fmt: skip
_FIELDS = (
    "temprature",
    "__proto__",
    "",
    "a" * 5_000,
    "\x00",
    "prompt-id",
    PERSON,
    "Prompt_ID",
    "reply_to",
    "TYPE",
    "messages ",
)


def damaged(body: dict[str, Any], random: Random) -> tuple[str, dict[str, Any]]:
    """The body with one or two places changed, and what was done."""
    changed = copy.deepcopy(body)
    done = [_change(changed, random) for _ in range(random.choice([1, 1, 2]))]
    return ", ".join(done), changed


def _change(body: dict[str, Any], random: Random) -> str:
    holder, name = random.choice(_places(body) or [(body, "x")])
    way = random.random()
    if way < 0.15 and isinstance(holder, dict):
        holder.pop(name, None)
        return f"without {name[:40]}"
    if way < 0.3:
        inner = holder if isinstance(holder, dict) else body
        inner[random.choice(_FIELDS)] = _odd(random)
        return "with an unknown field"
    if way < 0.4:
        holder[name] = _nested(random.choice([40, 190, 400]), random)
        return f"with a deep {name}"
    if way < 0.5:
        holder[name] = [holder.get(name) if isinstance(holder, dict) else holder[name]] * random.choice([0, 2, 40])
        return f"with a list for {name}"
    holder[name] = _odd(random)
    return f"with an odd {name}"


def _odd(random: Random) -> Any:
    """A copy: the next change may be one in its inside."""
    return copy.deepcopy(random.choice(ODD))


def _places(body: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of the tree."""
    found: list[tuple[Any, Any]] = []
    inner = list(body.items()) if isinstance(body, dict) else list(enumerate(body))
    for name, value in inner:
        found.append((body, name))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def _nested(levels: int, random: Random) -> Any:
    value: Any = {}
    as_list = random.random() < 0.5
    for _ in range(levels):
        value = [value] if as_list else {"a": value}
    return value
