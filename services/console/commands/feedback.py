"""`tailrace feedback`: judge an answer over the gateway, or take a judgement back."""

from typing import Annotated

import typer

from services.console.adapters.connection import gateway_address
from services.console.adapters.feedback import send_feedback
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.domain.feedback import Typed, request
from services.console.settings import ConsoleSettings


def feedback(
    response_id: Annotated[str, typer.Argument(help="Of the answer: `tailrace ask --json` shows it.")],
    thumb: Annotated[bool | None, typer.Option("--up/--down", help="Good, or not.")] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="1 to 5.")] = None,
    edit: Annotated[str | None, typer.Option(metavar="TEXT|FILE", help="The better text.")] = None,
    prefer_over: Annotated[str | None, typer.Option(metavar="RESPONSE_ID", help="The answer that was worse.")] = None,
    report: Annotated[str | None, typer.Option(metavar="CATEGORY", help="Such as harmful.")] = None,
    withdraw: Annotated[str | None, typer.Option(metavar="FEEDBACK_ID", help="Take that judgement back.")] = None,
    comment: Annotated[str | None, typer.Option(help="In your own words.")] = None,
    subject: Annotated[str | None, typer.Option(help="Pseudonym of the person whose judgement it is.")] = None,
    consent: Annotated[bool, typer.Option("--consent", help="The person allows training on it.")] = False,
    feedback_id: Annotated[str | None, typer.Option("--id", help="An id of your own; again, it changes.")] = None,
    as_json: Json = False,
) -> None:
    """Judge an answer. Prints the id of the judgement, by which it can be changed and taken back."""
    typed = Typed(thumb, rating, edit, prefer_over, report, withdraw)
    body = request(response_id, typed, comment=comment, subject=subject, feedback_id=feedback_id)
    receipt = send_feedback(gateway_address(ConsoleSettings()), {**body, "consent": {"training": consent}})
    print_json(receipt) if as_json else out().print(receipt["id"], markup=False)
