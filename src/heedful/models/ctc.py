"""Connectionist temporal classification: from what is likely in each frame to what is written.

Token 0 is the blank that stands between tokens, and for nothing at all.
"""

import math
from itertools import groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heedful.errors import ConfigError

BLANK = 0


def ctc_greedy(
    scores: Float[Tensor, "batch frames size"], lengths: Int[Tensor, " batch"]
) -> list[list[int]]:
    """Take the likeliest token of each frame; runs of one become one, blanks nothing.

    Args:
        scores: Logarithms of probabilities, or logits.
        lengths: Frames of each row.

    Returns:
        The tokens of each row.

    Source:
        Graves et al. 2006, "Connectionist temporal classification: labelling unsegmented sequence
        data with recurrent neural networks", ICML, section 3.2 (best path decoding).
    """
    best = scores.argmax(-1).tolist()
    return [
        [token for token, _ in groupby(row[:length]) if token != BLANK]
        for row, length in zip(best, lengths.tolist(), strict=True)
    ]


def ctc_beam(
    scores: Float[Tensor, "batch frames size"], lengths: Int[Tensor, " batch"], *, width: int = 8
) -> list[list[int]]:
    """Keep the `width` likeliest beginnings, each summed over all ways to spread it over frames.

    Args:
        scores: Logarithms of probabilities.
        lengths: Frames of each row.
        width: Beginnings kept.

    Returns:
        The likeliest tokens of each row that were found.

    Raises:
        ConfigError: `width` is below 1.

    Source:
        Graves et al. 2006, ICML, section 3.2 (prefix search decoding).
        Hannun et al. 2014, arXiv:1408.2873, section 2.2, algorithm 1 (a beam of prefixes; without a
        language model).

    Cost:
        `frames * width * min(size, 2 * width)` steps of Python a row.
    """
    if width < 1:
        raise ConfigError(f"width must be at least 1, got {width}")
    most = min(scores.shape[-1], 2 * width)
    values, tokens = scores.double().topk(most, dim=-1)
    blanks = scores[..., BLANK].double().tolist()
    found: list[list[int]] = []
    for row, length in enumerate(lengths.tolist()):
        beams: Beams = {(): (0.0, -math.inf)}  # of ending in a blank, in a token
        frames = zip(values[row].tolist(), tokens[row].tolist(), blanks[row], strict=True)
        for value, token, blank in list(frames)[:length]:
            beams = _advance(beams, list(zip(token, value, strict=True)), blank, width)
        found.append(list(max(beams, key=lambda prefix: _sum(*beams[prefix]))))
    return found


Beams = dict[tuple[int, ...], tuple[float, float]]


def _advance(beams: Beams, choices: list[tuple[int, float]], blank: float, width: int) -> Beams:
    """The likeliest prefixes after one more frame."""
    grown: Beams = {}

    def add(prefix: tuple[int, ...], in_blank: float, in_token: float) -> None:
        old = grown.get(prefix, (-math.inf, -math.inf))
        grown[prefix] = (_sum(old[0], in_blank), _sum(old[1], in_token))

    for prefix, (in_blank, in_token) in beams.items():
        whole = _sum(in_blank, in_token)
        add(prefix, whole + blank, -math.inf)
        for token, value in choices:
            if token == BLANK:
                continue
            if prefix and token == prefix[-1]:
                add(prefix, -math.inf, in_token + value)  # the same one goes on
                add((*prefix, token), -math.inf, in_blank + value)  # once more, behind a blank
            else:
                add((*prefix, token), -math.inf, whole + value)
    best = sorted(grown, key=lambda prefix: -_sum(*grown[prefix]))[:width]
    return {prefix: grown[prefix] for prefix in best}


def _sum(first: float, second: float) -> float:
    """The logarithm of a sum of what two logarithms stand for."""
    high, low = max(first, second), min(first, second)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def ctc_spans(
    scores: Float[Tensor, "frames size"],
) -> list[tuple[int, Int[Tensor, " run"]]]:
    """Return each token of the best path, and the frames in which it is the likeliest."""
    spans: list[tuple[int, Tensor]] = []
    frame = 0
    for token, run in groupby(scores.argmax(-1).tolist()):
        count = len(list(run))
        if token != BLANK:
            spans.append((token, torch.arange(frame, frame + count)))
        frame += count
    return spans
