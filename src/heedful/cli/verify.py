"""`heedful verify`: which rules of attention does a function keep?"""

from typing import Annotated, Any, Literal

import typer

from heedful.cli._options import AsJson
from heedful.cli._outside import users_code
from heedful.errors import VerificationError
from heedful.texts import json_of


def verify(
    function: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="An attention function, or a Claim.")
    ],
    *,
    oracle: Annotated[
        str, typer.Option(help="The mechanism that it should be: a name of heedful.ops.")
    ] = "scaled_dot",
    mask: Annotated[
        Literal["attend", "hide", "add"],
        typer.Option(help="What True means in its attn_mask, or that it is added to scores."),
    ] = "attend",
    layout: Annotated[
        Literal["heads-first", "length-first"],
        typer.Option(help="(batch, heads, length, dim), or (batch, length, heads, dim)."),
    ] = "heads-first",
    as_json: AsJson = False,
) -> None:
    """Hold any attention function to the rules, against float64 loops."""
    from heedful.cli.progress import working
    from heedful.testing.targets import claim_of
    from heedful.testing.verification import verify as verify_claim

    claim = claim_of(function, oracle=oracle, mask=mask, layout=layout)
    must = "take query, key, value and a mask"
    with working(f"verifying {function}") as tell, users_code(function, must):
        report = verify_claim(claim, name=function, on_progress=tell).to_json()
    if as_json:
        typer.echo(json_of(report, indent=2))
    else:
        _show(report)
    if report["problem"]:
        raise VerificationError(report["problem"])


def _show(report: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("rule", "verdict", "what should hold", title=report["function"], box=box.SIMPLE)
    colours = {"passed": "green", "failed": "red", "not claimed": "dim"}
    colours |= {"partly": "yellow", "unsupported": "yellow"}
    for row in report["rules"]:
        colour = colours[row["verdict"]]
        table.add_row(row["rule"], f"[{colour}]{row['verdict']}[/]", row["promise"])
    console.print(table)
    for row in report["rules"]:
        if row["example"]:
            cases = [f"{row[kind]} {kind}" for kind in ("failed", "unsupported") if row[kind]]
            what = f"{row['rule']}: {', '.join(cases)}, {row['passed']} passed"
            console.print(escape(f"{what}; first: {row['example']}"))
    kinds = ("passed", "partly", "failed", "unsupported")
    counts = ", ".join(f"{report[kind]} {kind}" for kind in kinds)
    console.print(counts)
