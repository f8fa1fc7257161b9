"""Why a sequence has its label: its letters, and the sequence with some of them unknown."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from heedful.data.sequences import CODES, Sequence
from heedful.explaining.question import ANSWER, SOURCE, Question, Route, Step
from heedful.explaining.scores import label_odds
from heedful.probing.sites import find_sites
from heedful.tasks.classification import Prediction

if TYPE_CHECKING:
    from heedful.tasks.classify_sequence.task import ClassifySequence

MOST = 256  # pieces; letters of longer sequences are removed together with their neighbours
REMOVAL = "taken as any letter"


def why_labelled(
    task: "ClassifySequence", model: nn.Module, example: Sequence, answer: Prediction
) -> Question:
    """Ask why a sequence has its label.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The sequence.
        answer: Whose label is asked for.
    """
    codes = CODES[task.alphabet]
    unknown = 1 + max(range(len(codes)), key=[len(meant) for meant in codes.values()].__getitem__)
    letters = task.encode([example]).batch([0], "cpu")["letters"][0, : len(example.letters)]
    length = len(letters)
    together = -(-length // MOST)
    pieces = torch.arange(length) // together
    label = task.labels[answer.label]
    one = task.config.model.strands == "one"

    def inputs(kept: Tensor) -> Tensor:
        there = kept[:, pieces.to(kept.device)]
        return torch.where(there, letters.to(kept.device), unknown)

    def scores(model: nn.Module, rows: Tensor) -> Tensor:
        lengths = torch.full((len(rows),), length, device=rows.device)
        logits = task.logits(model, {"letters": rows, "letters_lengths": lengths})
        return label_odds(logits, label)

    return Question(
        pieces=tuple(
            example.letters[start : start + together] for start in range(0, length, together)
        ),
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=_route(model, pieces.tolist(), strands=1 if one else 2),
        embedding="embedding" if one else "",
        embedded=tuple(pieces.tolist()) if one else (),
        method="integrated-gradients" if one else "",  # see the table of docs/explaining.md
        title=f"{example.letters:.60} → {answer.label}",
    )


def _route(model: nn.Module, pieces: list[int], *, strands: int) -> Route | None:
    """Letters of one strand or of both, the other one read backwards, pooled to one answer."""
    names = [site.name for site in find_sites(model)[0]]
    length = len(pieces)
    each = tuple(tuple(range(n * length, (n + 1) * length)) for n in range(strands))
    places = (*pieces, *reversed(pieces)) if strands == 2 else tuple(pieces)
    steps = [
        Step(site=name, query_places=each, key_places=each)
        for name in names
        if name.startswith("encoder")
    ]
    if "pooling" in names:
        once = ((0,),) * strands
        steps.append(
            Step(site="pooling", queries=ANSWER, residual=False, query_places=once, key_places=each)
        )
        return Route(steps=tuple(steps), places={SOURCE: places})
    return Route(steps=tuple(steps), places={SOURCE: places}, answer=SOURCE) if steps else None
