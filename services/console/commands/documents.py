"""`tailrace documents add|delete`: the knowledge base."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.documents import DocumentSubmitted
from services.console.adapters.connection import with_bus
from services.console.adapters.files import find_documents, loader, passed_over
from services.console.adapters.terminal import err, out, print_json, progress
from services.console.commands.stack import Json
from services.console.domain.documents import DocumentResult
from services.console.handlers.documents import Load, Submission

app = typer.Typer(no_args_is_help=True, help="Fill the knowledge base.")

Tenant = Annotated[str, typer.Option(help="Whose knowledge base.")]
Collection = Annotated[str, typer.Option(help="Part of the knowledge base that prompts can name.")]


@app.command()
def add(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders or globs: .md .html .txt .pdf")],
    collection: Collection = "default",
    tenant: Tenant = "default",
    root: Annotated[Path, typer.Option(help="Document ids are paths relative to this folder.")] = Path(),
    as_json: Json = False,
) -> None:
    """Submit documents and wait until each is indexed or refused. Exit code 1 when one was refused."""
    documents = [(found.document_id, loader(found, tenant, collection)) for found in find_documents(paths, root)]
    if others := passed_over(paths):
        err().print(
            f"{len(others)} other files left out, such as {escape(others[0].name)}; known are .md .html .txt .pdf"
        )
    _run(documents, as_json=as_json)


@app.command()
def delete(
    document_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids as `documents add` shows them.")],
    collection: Collection = "default",
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Take documents out of the knowledge base."""
    _run([(name, _gone(name, tenant, collection)) for name in dict.fromkeys(document_ids)], as_json=as_json)


def _gone(document_id: str, tenant: str, collection: str) -> Load:
    def load() -> DocumentSubmitted:
        return DocumentSubmitted(document_id=document_id, tenant=tenant, collection=collection, deleted=True)

    return load


def _run(documents: Sequence[tuple[str, Load]], *, as_json: bool) -> None:
    async def work(bus: KafkaBus) -> list[DocumentResult]:
        with progress("documents") as shown:
            submission = Submission(bus, documents, shown, utc_now)
            await submission.run()
        return [submission.results[document_id] for document_id, _ in documents]

    results = with_bus(work)
    print_json([asdict(result) for result in results]) if as_json else _show(results)
    if any(result.status == "refused" for result in results):
        raise typer.Exit(1)


def _show(results: Sequence[DocumentResult]) -> None:
    for result in results:
        if result.status == "refused":
            err().print(f"[red]refused[/] {escape(result.document_id)}: {result.code}: {escape(result.message or '')}")
    counts = {s: sum(r.status == s for r in results) for s in ("indexed", "unchanged", "deleted", "refused")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    out().print(f"{told} ({sum(r.chunks for r in results)} passages)")
