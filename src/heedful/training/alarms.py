"""Alarms: heads that go wrong while they are trained, and what to set otherwise."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from heedful.config.base import TaskConfig
    from heedful.probing.dispersion import HeadDispersion

COLLAPSED = 0.05  # a normalised entropy below this is near none
FALLING = 0.5  # of what it was at the evaluation before, at most
ALL = 0.99  # a share of attention that is next to all of it
LARGEST_SCORE = 100.0  # what a softmax of sane training stays below

AlarmKind = Literal["collapse", "one key", "scores"]
Place = tuple[str, int]  # site and head


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One head that goes wrong.

    Args:
        site: Of the head.
        head: Its number.
        kind: How it goes wrong; see `alarms`.
        text: That in words, with its number.
        advice: What to set otherwise; empty where the config has no setting for it.
    """

    site: str
    head: int
    kind: AlarmKind
    text: str
    advice: str

    def __str__(self) -> str:
        advice = f"; try {self.advice}" if self.advice else ""
        return f"{self.site} head {self.head}: {self.text}{advice}"


def alarms(
    heads: "Iterable[HeadDispersion]",
    entropies: Mapping[Place, float],
    config: "TaskConfig",
    *,
    best: bool,
) -> list[Alarm]:
    """Return which heads go wrong.

    A head *collapses* where its entropy is near 0 and less than half of what it was, while the dev
    score is not the best so far: a head that sharpens and makes the model better is a good one. It
    looks at *one key* where next to all attention of all queries goes there, so it says the same to
    each of them. Its *scores* explode where the largest one goes beyond 100.

    Args:
        heads: As they are now.
        entropies: Normalised, of the evaluation before, by site and head.
        config: Whose settings are proposed.
        best: Is the dev score the best so far?

    Source:
        Entropy: Zhai et al. 2023, arXiv:2303.06296, Section 3. Scores: Kimi Team 2025,
        arXiv:2507.20534, Section 2.1, where they are held below 100.
    """
    advice = _advice(config)
    found: list[Alarm] = []
    for head in heads:
        before = entropies.get((head.site, head.head))
        found += [
            Alarm(site=head.site, head=head.head, kind=kind, text=text, advice=advice)
            for kind, text in _wrong(head, before, best)
        ]
    return found


def _wrong(
    head: "HeadDispersion", before: float | None, best: bool
) -> Iterator[tuple[AlarmKind, str]]:
    entropy, mass, score = head.normalised_entropy, head.sink_mass, head.largest_score
    falling = entropy is not None and before is not None and entropy <= FALLING * before
    if entropy is not None and entropy < COLLAPSED and falling and not best:
        yield "collapse", f"entropy {entropy:.2f}, was {before:.2f}, and the score is no better"
    if mass is not None and mass >= ALL and head.sink_kind is not None:
        what = {"no-op": " and adds nothing there", "broadcast": " and says the same to all"}
        yield "one key", f"looks at key {head.sink_key} only{what.get(head.sink_kind, '')}"
    if score is not None and score > LARGEST_SCORE:
        yield "scores", f"a score of {score:,.0f}, which leaves the softmax no gradient"


def _advice(config: "TaskConfig") -> str:
    """The first setting that helps, of those that the config has."""
    if getattr(getattr(config, "model", None), "qk_norm", None) is False:
        return "--set model.qk_norm=true"
    rate = getattr(config.train, "learning_rate", None)
    return "" if rate is None else f"--set train.learning_rate={rate / 2:.3g}"
