"""Options that several verbs take, described once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

LARGEST_SEED = 2**63 - 1  # torch takes no larger one
MOST = 10**9  # of anything that is counted one by one
LONGEST = 1e9  # minutes or seconds, as for train.minutes
WIDEST_BEAM = 1_000  # wider searches need more memory than they bring

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder written by `heedful train`.")
]
RunOrCheckpoint = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FOLDER",
        help="Folder written by `heedful train`, or a checkpoint of Hugging Face.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=LARGEST_SEED,
        metavar="NUMBER",
        help="Another seed draws other random numbers.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file that --output names.")]


def _found_here(source: str | None) -> str | None:
    """Let a task of the user's own be imported from the current folder too.

    The path of a command starts at the command's own folder.
    """
    if source is not None and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return source


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TaskFrom = Annotated[
    str | None,
    typer.Option(
        "--task-from",
        metavar="MODULE:CLASS",
        callback=_found_here,
        help="A task of your own; its code is loaded.",
    ),
]
AnswerSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another setting for answers, e.g. decode.beam=4."
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=WIDEST_BEAM,
        metavar="COUNT",
        help="Unfinished translations that the search keeps; by default decode.beam of the run.",
    ),
]


def answer_settings(settings: list[str] | None, beam: int | None) -> list[str]:
    """All settings for answers; `--beam` is short for one of them."""
    return [*(settings or ()), *(() if beam is None else (f"decode.beam={beam}",))]
