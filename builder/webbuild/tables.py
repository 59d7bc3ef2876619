"""How the commands print tables."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.table import Table


def number_table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def show(content: RenderableType, *, width: int) -> None:
    """Prints to standard output; `width` characters wide where that is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=width)
    console.print(content)
