"""Tables that stay whole: numbers are never cut, and names fold where a terminal is narrow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NARROWEST = 8  # cells that a folded name keeps


def table(title: str, texts: Sequence[str]) -> "Table":
    """An empty table whose first columns hold texts, which may fold."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in texts:
        made.add_column(heading, overflow="fold", min_width=NARROWEST)
    return made


def print_table(console: "Console", shown: "Table") -> None:
    """Print a table: as wide as it likes into a file, within the terminal where there is one.

    A terminal too narrow even for folded names wraps the lines itself.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement

    wanted = Measurement.get(console, console.options.update(width=1_000), shown).maximum
    if console.is_terminal:
        folds = (column for column in shown.columns if column.overflow == "fold")
        longest = (
            max((cell_len(str(cell)) for cell in column.cells), default=0) for column in folds
        )
        wanted -= sum(max(0, cells - NARROWEST) for cells in longest)
    width = max(console.width, wanted)
    Console(highlight=False, width=width).print(shown)


def print_rows(console: "Console", title: str, rows: Sequence[dict[str, str]]) -> None:
    """Print rows of texts under their names; what is wider than the terminal is wrapped by it."""
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    shown = Table(box=box.SIMPLE)
    for name in rows[0]:
        shown.add_column(name, no_wrap=True)
    for row in rows:
        shown.add_row(*row.values())
    wanted = Measurement.get(console, console.options.update(width=1_000), shown).maximum
    console.print(title, markup=False, soft_wrap=True)
    Console(highlight=False, width=max(wanted, console.width)).print(shown)
