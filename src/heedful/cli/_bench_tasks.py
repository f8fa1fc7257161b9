"""The two tables of `heedful bench tasks`: what models learn, and what optimising them gives."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heedful.cli._tables import print_rows
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.bench.entry import Entry
    from heedful.bench.tasks import TaskRow
    from heedful.optimizing.of_tasks import OptimizedRow
    from heedful.training.run import Run


FINAL_STEPS = 300  # of fine-tuning: as quick as the trainings


def show_tasks(only: list[str] | None, minutes: float, *, optimize: bool, as_json: bool) -> None:
    """Compare tasks, and print what was found.

    Args:
        only: Some tasks; `None` means all.
        minutes: That each model is trained, and about as long optimised.
        optimize: Is the first model of each optimised too?
        as_json: Print plain data instead of tables.
    """
    from heedful.bench.tasks import compare_tasks
    from heedful.cli.progress import working
    from heedful.optimizing.of_tasks import optimize_task
    from heedful.optimizing.settings import OptimizeSettings

    optimized: list[OptimizedRow] = []
    settings = OptimizeSettings(minutes=minutes, final_steps=FINAL_STEPS, finals=1)

    with working("training") as tell:

        def also(name: str, entry: "Entry", run: "Run") -> None:
            tell(f"{name}: optimising")
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "smaller"
                optimized.append(optimize_task(run, entry.budget, output, settings=settings))

        hook = {"on_trained": also} if optimize else {}
        rows = compare_tasks(minutes=minutes, tasks=only, on_progress=tell, **hook)
    if as_json:
        plain = [row.to_json() for row in rows]
        second = [row.to_json() for row in optimized]
        found = {"tasks": plain, "optimized": second} if optimize else plain
        typer.echo(json_of(found, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    title = f"each model trained for {minutes:g} minutes"
    print_rows(console, title, [shown_row(row) for row in rows])
    if optimize:
        print_rows(
            console, "the first model of each, optimised", [*map(shown_optimized, optimized)]
        )


def shown_row(row: "TaskRow") -> dict[str, str]:
    """Return a row of the first table as texts."""
    low, high = row.interval
    others = ", ".join(f"{score:.4g} ({name})" for name, score in row.baselines.items())
    memory = "" if row.peak_memory_mib is None else f"{row.peak_memory_mib:,.0f}"
    return {
        "task": row.task,
        "model": row.model,
        "data": row.data,
        "metric": row.metric if row.higher_is_better else f"{row.metric} (less is better)",
        "test": f"{row.value:.4g}",
        "interval": f"{low:.4g} to {high:.4g}",
        "dev": f"{row.dev:.4g}",
        "elsewhere": "" if row.shift is None else f"{row.shift[1]:.4g} ({row.shift[0]})",
        "baselines": others,
        "seconds": f"{row.seconds:.0f}",
        "MiB": memory,
        "parameters": f"{row.parameters:,}",
    }


def shown_optimized(row: "OptimizedRow") -> dict[str, str]:
    """Return a row of the second table as texts."""
    numbers = {"before": row.before, "after": row.after}
    return {
        "task": row.task,
        "may lose": row.budget,
        "verdict": "accepted" if row.accepted else "refused",
        **{name: "" if each is None else f"{each:.4g}" for name, each in numbers.items()},
        "faster": "" if row.speedup is None else f"{row.speedup:.2f}x",
        "reason": row.reason,
    }
