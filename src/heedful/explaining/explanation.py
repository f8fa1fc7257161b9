"""An explanation, its verdict, and its paths, as plain data."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Word = Literal[
    "verified",
    "no better than random",
    "misleading sign",
    "ignores the model",
    "inconclusive",
    "not tested",
]
# What decided; "" where nobody knows it
Cause = Literal[
    "",
    "few pieces",
    "random models",
    "wrong sign",
    "worse than random",
    "passed",
    "failed",
    "occlusion failed",
    "few draws",
]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What removing pieces does to the score, against removing others.

    Args:
        value: With the order of the map: the mean over shares and targets, as `judge` pairs them.
        random: With the map's own values dealt out anew: the mean over draws.
        interval: Between which 95 % of these draws lie.
        p: How likely a random map is as good, `(1 + such draws) / (1 + draws)` and, where half of
            the draws might have been enough, a little more; see `judge`.
    """

    value: float
    random: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Can a map be trusted?

    Args:
        word: The verdict.
        reason: In one sentence, with the numbers that decided.
        comprehensiveness: How much the score falls when the map's first pieces are removed.
        sufficiency: How much it falls when they alone are kept; less is better.
        reference: Comprehensiveness of occlusion's order: what this model lets a map reach.
        wrong_sign: Share of the map's first pieces whose removal raises the score.
        resemblance: Rank correlation with maps of models with random weights, the mean.
        draws: How many random maps it was judged against: half of those allowed, where they told.
        stretches: Into how many stretches of neighbouring pieces a long input was cut, each of
            which was removed whole; 0 where each piece was by itself.
        cause: What decided, for who says the reason in another language.
    """

    word: Word
    reason: str
    comprehensiveness: Effect
    sufficiency: Effect
    reference: float
    wrong_sign: float
    resemblance: float
    draws: int
    stretches: int = 0
    cause: Cause = ""


@dataclass(frozen=True, kw_only=True)
class DecisionPath:
    """One way from a target through heads to a piece, and what it is worth.

    Args:
        target: Number of the target.
        piece: Number of the piece.
        heads: `(site, head)` on the way, from the answer back to the input; a site that is called
            by several layers names the call.
        through: Between two heads each: the piece, the target or the number, with a `#`, of the
            place where the path goes from one to the next.
        strength: Its share of all paths of the target.
        drop: By how much the target's score falls when the path is cut.
        random_drop: The mean of it over paths drawn at random through as many heads.
    """

    target: int
    piece: int
    heads: tuple[tuple[str, int], ...]
    strength: float
    drop: float
    random_drop: float
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotExplainable:
    """What stands in the place of an explanation where an answer can have none.

    Args:
        reason: Why, in a line.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a model gave an answer: how much each piece of the input counts for each target.

    Args:
        pieces: What the input is made of.
        targets: What was answered.
        weights: `(targets, pieces)`; signed where the method tells for from against.
        method: Which made it.
        removal: What stands where a piece was removed, in words.
        error: How far the maps were from what the model used, of what attention adds; 0 where the
            method looks at none, `None` where it cannot be told.
        verdict: `None`: not tested.
        paths: The strongest ones, where they were asked for.
        shape: How pieces are laid out.
        canvas: What is drawn behind them.
        title: What was asked and answered.
        warnings: What a user should know about the answer, such as what was not read.
        score: What the numbers of the verdict are in.
    """

    pieces: tuple[str, ...]
    targets: tuple[str, ...]
    weights: NDArray[np.float64]
    method: str
    removal: str
    error: float | None = 0.0
    verdict: Verdict | None = None
    paths: tuple[DecisionPath, ...] = ()
    shape: tuple[int, ...] = ()
    canvas: NDArray[np.uint8] | None = None
    title: str = ""
    warnings: tuple[str, ...] = ()
    score: str = "log-odds"

    @property
    def word(self) -> Word:
        """The badge: a map is never shown without it."""
        return "not tested" if self.verdict is None else self.verdict.word

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without the canvas."""
        plain = asdict(self) | {"weights": self.weights.tolist(), "word": self.word}
        del plain["canvas"]
        return plain
