"""All that the page of a run shows, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.data.alignment import Alignment
from heedful.data.image_attention import ImageAttention
from heedful.explaining.explanation import Explanation
from heedful.report.run_page.judgement import Judgement
from heedful.report.run_page.watched import WatchedHead

SinkKind = Literal["", "no-op", "broadcast", "mixed"]
CAPTURE_LIMIT = 0.01  # maps that are further off are others than the model used


class Interval(NamedTuple):
    """A score with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a metric says of a model, and of what optimising made of it.

    Args:
        name: Of the metric.
        unit: What stands behind the number; empty where there is none.
        higher_is_better: Does a larger number mean a better model?
        before: Of the model.
        after: Of the optimised one; `None` where there is none.
    """

    name: str
    unit: str
    higher_is_better: bool
    before: Interval
    after: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model takes, before and after.

    Args:
        name: `latency_ms`, `attention_operations` or `parameters`.
        before: Of the model.
        after: Of the optimised one; `None` where there is none.
    """

    name: str
    before: float
    after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One candidate that a search tried on the dev split.

    Args:
        number: Of its round; 0 is the original.
        cost_share: What its attention and the rest take, of the original.
        difference: Of the metric against the original; `None` where it was not measured.
        bound: What that difference is, with 95 % confidence, no worse than.
        kept: Is it within the budget?
        final: Was it fine-tuned for long, as the last ones are?
        chosen: Is it the one that was judged in the end?
    """

    number: int
    cost_share: float
    difference: float | None
    bound: float | None
    kept: bool
    final: bool = False
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """The candidates of an optimisation.

    Args:
        metric: That the budget is about.
        allowed: The difference that is still fine.
        trials: The original first.
    """

    metric: str
    allowed: float
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a head looks, in numbers: means over the rows of some held-out examples.

    Args:
        entropy: Of a row, as a share of the largest possible: 1 is even, 0 is one key alone.
        keys: How many keys a row reads, in effect.
        first: Share of the first four keys.
        distance: How far it looks, in keys; NaN where it looks at something else than its own.
        sink: What this head does at the key that takes most of its attention, as `heedful.probe`
            says it; empty where no key takes enough.
        sharpness: The largest weight of a row among n, 2n and 4n keys; empty where it is not known.
    """

    entropy: float
    keys: float
    first: float
    distance: float
    sink: SinkKind = ""
    sharpness: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A map of one example, in at most 64 x 64 cells: each the largest share of what it covers.

    Args:
        cells: 255 times the square root of shares, of which the largest one is 1.
        largest: What share that is.
        queries: Rows of the whole map.
        keys: Columns of the whole map.
    """

    cells: NDArray[np.uint8]
    largest: float
    queries: int
    keys: int


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head of one site of attention.

    Args:
        site: Name of the module.
        number: From 0, as the model had it before it was optimised.
        before: How it looked.
        tile: Its map.
        after: How it looks in the optimised model; `None` where it is gone, or there is none.
        tile_after: Its map there.
        removed: Did optimising take it away?
        importance: Fisher's score, where an optimisation measured it.
    """

    site: str
    number: int
    before: Look
    tile: Tile
    after: Look | None = None
    tile_after: Tile | None = None
    removed: bool = False
    importance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """All heads of a model.

    Args:
        heads: Site by site, in the order of the model.
        tokens: Of each site, what stands at the rows and at the columns of its maps; empty where
            nobody knows, and then they have numbers.
        examples: How many examples the numbers are means over.
        title: Which example the maps are of.
        error: How far maps were from what the model used; `None` where nothing can be told.
        unobservable: Attention of which there is no map, and why.
    """

    heads: tuple[Head, ...] = ()
    tokens: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    )
    examples: int = 0
    title: str = ""
    error: float | None = None
    unobservable: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One held-out example, its answer, and why.

    Args:
        asked: What the example holds, name by name.
        answer: In a line.
        explanation: With its verdict; `None` where there is none.
        picture: Where the model looked, which nobody tested; where there is no explanation.
        reason: Why there is none.
    """

    asked: Mapping[str, str]
    answer: str
    explanation: Explanation | None = None
    picture: Alignment | ImageAttention | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What was measured while training.

    Args:
        name: As the log names it.
        points: Steps and values.
    """

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class PageData:
    """A run, and what optimising made of it.

    Args:
        run: Its folder.
        smaller: Folder of the optimised one; empty where there is none.
        task: Its name.
        command: What made the page, word for word.
        date: When.
        about: Seed, versions, machine and the like, name by name.
        split: Which examples scores are of.
        examples: How many.
        scores: None where the task has no metric.
        costs: As far as they were measured.
        judgement: `None` where nothing was optimised.
        search: The same.
        atlas: All heads.
        shown: Some held-out examples.
        curves: Of the training.
        watched: Its heads, where the training watched them.
        alarms: What it warned of, in words.
        config: As it was run, in TOML.
        plan: What was changed, in TOML.
    """

    run: str
    task: str
    command: str
    date: str
    smaller: str = ""
    about: Mapping[str, str] = field(default_factory=dict[str, str])
    split: str = "test"
    examples: int = 0
    scores: tuple[Score, ...] = ()
    costs: tuple[Cost, ...] = ()
    judgement: Judgement | None = None
    search: Search | None = None
    atlas: Atlas = field(default_factory=Atlas)
    shown: tuple[Shown, ...] = ()
    curves: tuple[Curve, ...] = ()
    watched: tuple[WatchedHead, ...] = ()
    alarms: tuple[str, ...] = ()
    config: str = ""
    plan: str = ""
