"""A budget, read before anything is trained, searched or written."""

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from heedful.cli._options import MOST
from heedful.errors import ConfigError

if TYPE_CHECKING:
    from heedful.optimizing.budget import Budget
    from heedful.tasks.catalog import AnyTask

T = TypeVar("T")

# options by the names that they had in older versions
OldKeep = Annotated[str | None, typer.Option("--keep", hidden=True)]
OldHeal = Annotated[int | None, typer.Option("--heal", hidden=True, min=0, max=MOST)]
OldDistil = Annotated[int | None, typer.Option("--distil", hidden=True, min=0, max=MOST)]


def check_budget(lose: str | None, keep: str | None = None, *, kind: "AnyTask") -> "Budget":
    """Read a budget of a run.

    Args:
        lose: What may be lost, e.g. `chrf 0.5`.
        keep: The same as older versions took it, e.g. `chrf >= -0.5`.
        kind: The task, which knows the metrics.

    Raises:
        ConfigError: It cannot be read, its metric is unknown, or it gets worse the other way.
    """
    from heedful.config.problems import unknown_choice
    from heedful.optimizing.budget import parse_budget, parse_lose

    if keep is None and lose is None:
        raise ConfigError("--lose must say what may be lost, such as 'chrf 0.5', got nothing")
    if keep is None:
        lower = [each.name for each in kind.metrics if not each.higher_is_better]
        budget = parse_lose(lose or "", lower_is_better=lower)
    else:
        budget = parse_budget(keep)
        note(f"--keep '{keep}' is now --lose '{budget}'")
    metric = kind.metric(budget.metric)
    if metric is None:
        names = [each.name for each in kind.metrics]
        raise ConfigError(unknown_choice("metric", names, budget.metric))
    if budget.margin and budget.higher_is_better != metric.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ConfigError(
            f"the budget must know that {better} {budget.metric} is better, got {keep or lose!r}"
        )
    return budget


def budget_of(lose: str | None, keep: str | None) -> "str | Budget":
    """Return what may be lost of what is no run, as it is written, or as older versions took it.

    Args:
        lose: What may be lost, e.g. `cosine 0.02`.
        keep: The same as older versions took it, e.g. `cosine >= -0.02`.

    Raises:
        ConfigError: Neither is given, or the older form cannot be read.
    """
    from heedful.optimizing.budget import parse_budget

    if keep is not None:
        return parse_budget(keep)
    if lose is None:
        raise ConfigError("--lose must say what may be lost, such as 'cosine 0.02', got nothing")
    return lose


def newer(value: T, old: T | None, names: str) -> T:
    """Return an option, by its older name where that was given.

    Args:
        value: Of the newer name.
        old: Of the older one; `None` where it was not given.
        names: Both, for the note.
    """
    if old is None:
        return value
    note(names)
    return old


def note(text: str) -> None:
    """Say on stderr what an option is called now."""
    typer.echo(f"heedful: {text}", err=True)
