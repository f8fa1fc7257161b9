"""An explanation on the terminal, and as the picture of a file; never without its badge."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from textwrap import fill

import numpy as np
from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from heedful.data.alignment import Alignment
from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.explaining.explanation import DecisionPath, Explanation
from heedful.report.alignment import render_terminal, shown, shown_line
from heedful.report.image_attention import render_image

BARS = " ▏▎▍▌▋▊▉█"
BAR = 24  # cells of the longest bar
MOST = 30  # pieces that are listed, of longer inputs the strongest
MARKS = {"verified": "✔", "not tested": "–"}  # of all other words: ✘


def badge(explanation: Explanation) -> str:
    """Return the word of the verdict behind a mark, so that colour is never the only sign."""
    word = explanation.word
    return f"{MARKS.get(word, '?' if word == 'inconclusive' else '✘')} {word}"


def render_explanation(explanation: Explanation, width: int = 80) -> Group:
    """Draw an explanation: its badge, its reason, and how much each piece counts.

    Args:
        explanation: Of an image as an image, else of one target as bars, of several as a table.
        width: Cells in a line of the terminal.
    """
    head = Text()
    head.append(f"{shown_line(explanation.title)}\n")
    head.append(f"[{badge(explanation)}]", style="bold")
    head.append(f" by {explanation.method}")
    if explanation.verdict is not None:
        head.append(f": {explanation.verdict.reason}")
    head.append("\n")
    parts = [head, _body(explanation, width)]
    return Group(*parts, _paths(explanation)) if explanation.paths else Group(*parts)


def _body(explanation: Explanation, width: int) -> Text:
    if explanation.canvas is not None and explanation.shape[0] == 1:  # a sound: stretches of time
        explanation = replace(explanation, canvas=None)
    if len(explanation.targets) == 1 and explanation.canvas is None:
        return _bars(explanation, width)
    picture = as_picture(explanation, title=False)
    if isinstance(picture, ImageAttention):
        return render_image(picture)
    return render_terminal(picture, width)


def as_picture(explanation: Explanation, *, title: bool = True) -> Alignment | ImageAttention:
    """Return the shares of pieces in each target, as files of pictures are made of.

    Args:
        explanation: What for and against a target has in common is its size.
        title: Has the picture its title and its badge? Else they must stand beside it.
    """
    strength = abs(explanation.weights)
    total = strength.sum(1, keepdims=True)
    shares = np.divide(strength, total, out=np.zeros_like(strength), where=total > 0)
    words = explanation.title if title else ""
    verdict = f"{badge(explanation)}, by {explanation.method}" if title else ""
    if explanation.canvas is None:
        return Alignment(
            source=explanation.pieces,
            target=explanation.targets,
            weights=tuple(map(tuple, shares.tolist())),
            title=words,
            badge=verdict,
        )
    maps: list[AttentionMap] = []
    rows, columns = explanation.shape
    for target, each in zip(explanation.targets, shares.reshape(-1, rows, columns), strict=True):
        row, column = np.unravel_index(each.argmax(), each.shape)
        cells = tuple(map(tuple, each.tolist()))
        maps.append(
            AttentionMap(row=int(row), column=int(column), weights=cells, word=target.strip())
        )
    pixels = tuple(tuple(map(tuple, line)) for line in explanation.canvas.tolist())
    return ImageAttention(
        pixels=pixels, maps=tuple(maps), title=words, badge=verdict, explains=True
    )


def _paths(explanation: Explanation) -> Text:
    """The paths that were cut, target by target, and what that did."""
    lines = ["", "the strongest paths, and by how much the score falls when they are cut"]
    for path in explanation.paths:
        lines.append(f"  {way_of(explanation, path, '{site} head {head}')}")
        lines.append(
            f"      {path.strength:.0%} of all paths; cut: {path.drop:.2f}, "
            f"others through as many heads: {path.random_drop:.2f}"
        )
    return Text("\n".join(lines))


def way_of(explanation: Explanation, path: DecisionPath, head: str) -> str:
    """Return a path in a line; of targets and pieces that look the same, it says which one.

    Args:
        explanation: Of which the path is.
        path: One of its paths.
        head: How a head is called, with `{site}` and `{head}`.
    """
    heads = [head.format(site=site, head=number) for site, number in path.heads]
    inner = [shown(place) for place in path.through]
    ways = [part for pair in zip_longest(heads, (f"({place})" for place in inner)) for part in pair]
    ends = (explanation.targets, path.target), (explanation.pieces, path.piece)
    target, piece = (_which(names, number) for names, number in ends)
    return " ← ".join([target, *filter(None, ways), piece])


def _which(names: Sequence[str], number: int) -> str:
    """A name; where it stands more than once, with the number of the one that is meant."""
    name = names[number]
    if names.count(name) == 1:
        return shown(name)
    return f"{shown(name)} [{1 + names[:number].count(name)}]"


def _bars(explanation: Explanation, width: int) -> Text:
    weights = explanation.weights[0]
    strongest = np.argsort(-abs(weights), kind="stable")[:MOST]
    labels = {int(piece): shown(explanation.pieces[piece]) for piece in strongest}
    longest = max(abs(weights).max(), np.finfo(float).tiny)
    room = max(cell_len(label) for label in labels.values())
    most = max(4, min(BAR, width - room - 12))
    lines: list[str] = []
    for piece in sorted(labels):
        weight, label = float(weights[piece]), labels[piece]
        bar = _bar(abs(weight) / longest, most)
        gap = " " * (room - cell_len(label))
        lines.append(f"  {gap}{label} {'-' if weight < 0 else ' '}{bar} {weight:.3g}")
    left = len(weights) - len(labels)
    lines.append(f"  and {left} that count less" if left else "")
    counts = f"what counts for {shown(explanation.targets[0])}; "
    said = fill(f"{counts}a removed piece is {explanation.removal}", width)
    return Text("\n".join([*lines, said]), no_wrap=True)


def _bar(share: float, most: int) -> str:
    eighths = round(share * most * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (BARS[rest] if rest else "")).ljust(most)
