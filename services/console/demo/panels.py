"""What pages of the report are made of."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text


def panel(title: str, *content: RenderableType) -> Panel:
    """One station."""
    return Panel(Group(*content), title=f"[bold]{escape(title)}[/]", title_align="left", border_style="cyan")


def line(name: str, text: str) -> Text:
    """A fact with its name."""
    return Text.assemble((f"{name}: ", "bold"), text)
