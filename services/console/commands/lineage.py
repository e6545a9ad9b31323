"""`tailrace lineage`: from an answer to the rows made of it, and from a row to its answers and judgements."""

from typing import Annotated

import typer
from rich.markup import escape

from libs.datasets import Answered, RowLineage, lineage_of
from services.console.adapters.datasets import the_datasets
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.settings import ConsoleSettings


def lineage(
    wanted: Annotated[
        str, typer.Argument(metavar="RESPONSE_ID|ROW_ID", help="An answer or a row; a prompt or a feedback id too.")
    ],
    dataset: Annotated[str | None, typer.Option(help="Only this data set, as for `datasets show`.")] = None,
    as_json: Json = False,
) -> None:
    """In which data sets a row is or an answer has become rows, and what each row was made of. Never content.

    Exit code 1: in none.
    """
    datasets = the_datasets(ConsoleSettings())
    places = datasets.list() if dataset is None else (datasets.open(dataset),)
    found = [(place.name, row) for place in reversed(places) for row in lineage_of(place, wanted)]
    if as_json:
        print_json([{"dataset": name, **row.model_dump(mode="json")} for name, row in found])
    else:
        _show(found)
    if not found:
        raise ConsoleError(f'"{wanted}" is in none of {len(places)} data sets in {datasets.folder}')


def _show(found: list[tuple[str, RowLineage]]) -> None:
    console = out()
    for name, row in found:
        console.print(
            f"row {row.row}  {row.kind}, made of {' and '.join(row.made_of)}\n"
            f"  data set {name[:12]}, {row.split}, line {row.line}; tenant {escape(row.tenant)}",
            soft_wrap=True,
        )
        for role, answer in zip(
            ("chosen", "rejected") if len(row.answers) > 1 else ("answer",), row.answers, strict=True
        ):
            model = "/".join(
                answer.model.get(part, "") for part in ("name", "adapter", "version") if part in answer.model
            )
            where = f"prompt {answer.prompt_id}, conversation {answer.conversation_id}, {model}, {answer.template}"
            console.print(f"  {role} {answer.response_id}: {where}", markup=False, soft_wrap=True)
        console.print(f"  judgements {', '.join(row.feedback)}", markup=False, soft_wrap=True)


def _model(answer: Answered) -> str:
    used = [answer.model[part] for part in ("name", "adapter", "version") if part in answer.model]
    return f"{'/'.join(used)}, {answer.template}"
