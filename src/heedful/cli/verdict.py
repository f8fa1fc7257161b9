"""`heedful verdict`: does what was changed answer as well as the original?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli._options import MOST, AsJson, Seed
from heedful.errors import BudgetError
from heedful.texts import json_of

if TYPE_CHECKING:
    from heedful.optimizing.verdict import Verdict


def verdict(
    before: Annotated[
        Path, typer.Argument(metavar="BEFORE", help="JSON lines of what the original answered.")
    ],
    after: Annotated[
        Path, typer.Argument(metavar="AFTER", help="JSON lines of what came after, on the same.")
    ],
    *,
    lose: Annotated[
        str, typer.Option(metavar="BUDGET", help="What may be lost, e.g. 'chrf 0.5', 'score 0.01'.")
    ],
    span: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="The most that one example can lose; by default what its metric says or was seen.",
        ),
    ] = None,
    look: Annotated[
        int,
        typer.Option(min=1, max=MOST, metavar="NUMBER", help="Which look at these examples it is."),
    ] = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Judge two files of predictions as optimise does; exit code 3 where it loses too much.

    A line is {"score": 0.8}, or {"prediction": "...", "reference": "..."}, with an "id" or in
    order. The metric is that of the budget.
    """
    from heedful.optimizing.of_predictions import judge_predictions

    found = judge_predictions(before, after, lose=lose, span=span, look=look, seed=seed)
    if as_json:
        typer.echo(json_of(found.to_json()))
    elif found.accepted:
        typer.echo(f"accepted on {found.examples:,} examples: {found.reason}")
    if not found.accepted:
        raise BudgetError(_refused(found))


def _refused(found: "Verdict") -> str:
    return f"refused on {found.examples:,} examples: {found.reason.removesuffix('.')}"
