"""What keeps a line of a data set from being a row."""

import json
from typing import Any

import pytest

from libs.datasets import COLUMNS, Kind, fault_of_row

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How long?"}]
SAID = [{"role": "assistant", "content": "Two weeks."}]
GOOD: dict[Kind, dict[str, Any]] = {
    "sft": {"prompt": ASKED, "completion": SAID},
    "dpo": {"prompt": ASKED, "chosen": SAID, "rejected": [{"role": "assistant", "content": "Never."}]},
    "kto": {"prompt": ASKED, "completion": SAID, "label": False},
}


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_a_row_as_data_sets_have_it_has_no_fault_until_a_column_is_taken(method: Kind) -> None:
    assert fault_of_row(method, json.dumps(GOOD[method])) is None
    for column in COLUMNS[method]:
        rest = {name: value for name, value in GOOD[method].items() if name != column}
        fault = fault_of_row(method, json.dumps(rest))
        assert fault is not None
        assert fault.startswith(f'"{column}" must be ')


@pytest.mark.parametrize("line", ["", "{", "row", "\ufeff{}"])
def test_what_is_no_json_is_no_row(line: str) -> None:
    assert fault_of_row("sft", line) == "it is no JSON"


@pytest.mark.parametrize("line", ["[]", "null", "3", '"row"'])
def test_what_is_no_object_is_no_row(line: str) -> None:
    assert fault_of_row("sft", line) == "it is no object"


_NO_MESSAGES = "must be messages with role and content"
_UNSAID = "must end with what the assistant says"


@pytest.mark.parametrize(
    ("method", "change", "told"),
    [
        ("sft", {"prompt": []}, f'"prompt" {_NO_MESSAGES}'),
        ("sft", {"prompt": "How long?"}, f'"prompt" {_NO_MESSAGES}'),
        ("sft", {"prompt": ["How long?"]}, f'"prompt" {_NO_MESSAGES}'),
        ("sft", {"prompt": [{"role": "user"}]}, f'"prompt" {_NO_MESSAGES}'),
        ("sft", {"prompt": [{"role": None, "content": "How long?"}]}, f'"prompt" {_NO_MESSAGES}'),
        ("sft", {"completion": [*SAID, {"role": "user", "content": 3}]}, f'"completion" {_NO_MESSAGES}'),
        ("sft", {"completion": ASKED}, f'"completion" {_UNSAID}'),
        ("sft", {"completion": [{"role": "assistant", "content": " \n"}]}, f'"completion" {_UNSAID}'),
        ("dpo", {"chosen": [*SAID, *ASKED]}, f'"chosen" {_UNSAID}'),
        ("dpo", {"rejected": [{"role": "assistant", "content": ""}]}, f'"rejected" {_UNSAID}'),
        ("kto", {"label": 1}, '"label" must be true or false'),
        ("kto", {"label": "true"}, '"label" must be true or false'),
        ("kto", {"label": None}, '"label" must be true or false'),
    ],
)
def test_a_wrong_column_is_named(method: Kind, change: dict[str, Any], told: str) -> None:
    assert fault_of_row(method, json.dumps({**GOOD[method], **change})) == told
