"""The `tailrace` command: its table of commands."""

import typer

from services.console.commands import (
    ask,
    batch,
    batch_jobs,
    check,
    datasets,
    dead_letters,
    demo,
    documents,
    evaluate,
    feedback,
    lineage,
    models,
    replay,
    stack,
    trace,
    train,
)


def create_app() -> typer.Typer:
    """The command line, described; nothing is opened before a command runs."""
    app = typer.Typer(
        name="tailrace",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Large language models as event-driven services on Apache Kafka.",
    )
    app.command()(stack.up)
    app.command()(stack.down)
    app.command()(stack.status)
    app.command()(ask.ask)
    app.command()(feedback.feedback)
    app.add_typer(documents.app, name="documents")
    batch_jobs.add_to(batch.app)
    app.add_typer(batch.app, name="batch")
    app.add_typer(dead_letters.app, name="dead-letters")
    app.add_typer(datasets.app, name="datasets")
    app.command()(lineage.lineage)
    app.command()(train.train)
    app.command()(evaluate.evaluate)
    app.add_typer(models.app, name="models")
    app.command()(replay.replay)
    app.command()(trace.trace)
    app.command()(check.check)
    app.command()(demo.demo)
    return app
