"""`tailrace lineage`: from answers to rows, data sets, the adapters that were trained on them, and back."""

from typing import Annotated

import typer

from services.console.adapters.datasets import the_datasets
from services.console.adapters.models import the_models
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.domain.ancestry import AdapterMade, AnswerMade, DatasetMade, RowMade, Turned
from services.console.domain.lineage import Lineage
from services.console.settings import ConsoleSettings

_SHORT = 12


def lineage(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ANSWER|ROW|ADAPTER|DATASET",
            help="The id of an answer, a row, a prompt or a judgement; or the name of an adapter or a data set, or so "
            "many of its first letters (of a data set four or more) that there is only one; latest: of data sets.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Only ids, and only in this data set, as for `datasets show`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What an answer, a row, an adapter or a data set was made of, and what was made of it. Never content.

    Looked for in this order: a whole name; an id; the first letters of a name. Exit code 1: nothing was found.
    """
    datasets = the_datasets(ConsoleSettings())
    place = None if dataset is None else datasets.open(dataset)
    known = Lineage(datasets, the_models(ConsoleSettings()))
    found = known.of(wanted) if place is None else known.within(place, wanted)
    if as_json:
        print_json(list(found) if isinstance(found, tuple) else found)
    else:
        for line in _told(found):
            out().print(line, markup=False, soft_wrap=True)


def _told(found: AdapterMade | DatasetMade | tuple[RowMade, ...]) -> list[str]:
    match found:
        case AdapterMade():
            return _adapter(found)
        case DatasetMade():
            return _dataset(found)
    return [line for row in found for line in _row(row)]


def _row(row: RowMade) -> list[str]:
    roles = ("chosen", "rejected") if len(row.answers) > 1 else ("answer",)
    return [
        f"row {row.row}  {row.kind}, made of {' and '.join(row.made_of)}",
        f"  data set {row.dataset[:_SHORT]}, {row.split}, line {row.line}; tenant {row.tenant}",
        *(f"  {role} {_answer(answer)}" for role, answer in zip(roles, row.answers, strict=True)),
        f"  judgements {', '.join(row.feedback)}",
        *([f"  trained on this data set: {', '.join(row.adapters)}"] if row.adapters else []),
    ]


def _answer(answer: AnswerMade) -> str:
    used = "/".join(answer.model[part] for part in ("name", "adapter", "version") if part in answer.model)
    taught = f"; its adapter was trained on data set {it[:_SHORT]}" if (it := answer.adapter_dataset) else ""
    where = f"prompt {answer.prompt_id}, conversation {answer.conversation_id}"
    return f"{answer.response_id}: {where}, {used}, {answer.template}{taught}"


def _dataset(found: DatasetMade) -> list[str]:
    rows = (f"{sum(splits.values())} {kind}" for kind, splits in found.rows.items())
    return [
        f"data set {found.name}",
        f"  published {found.written_at:%Y-%m-%dT%H:%M:%SZ} by {found.policy}",
        f"  rows {', '.join(rows)}",
        f"  adapters trained on it: {', '.join(found.adapters) or 'none'}",
    ]


def _adapter(found: AdapterMade) -> list[str]:
    examined = "not examined"
    if found.evaluated_at is not None:
        examined = f"{found.verdict} by {found.gate} ({found.evaluation}, {found.evaluated_at:%Y-%m-%dT%H:%M:%SZ})"
    return [
        f"adapter {found.name}",
        *(_made_of(found) if found.fault is None else [f"  {found.fault}"]),
        f"  verdict  {examined}",
        f"  serves  {found.serves or 'nothing'}",
        *map(_turn, found.turns),
    ]


def _made_of(found: AdapterMade) -> list[str]:
    here = "" if found.dataset_is_here else " (not here)"
    return [
        f"  base  {found.base}",
        f"  started from  {found.started_from or 'the bare base'}",
        f"  data set  {found.dataset}{here}, by {found.policy}",
        f"  rows  {found.rows} trained on, {found.replayed} of them replayed",
        f"  recipe  {found.recipe}",
        f"  run  {found.run}, {found.trained_at:%Y-%m-%dT%H:%M:%SZ}",
    ]


def _turn(turn: Turned) -> str:
    """What happened, to whom, and what this adapter served afterwards."""
    whom = turn.rolled_back if turn.action == "rollback" else turn.model
    reason = f": {turn.reason}" if turn.reason else ""
    return (
        f"  revision {turn.revision}  {turn.at:%Y-%m-%dT%H:%M:%SZ}  {turn.action} {whom}{reason}; "
        f"this one serves {turn.serves or 'nothing'}"
    )
