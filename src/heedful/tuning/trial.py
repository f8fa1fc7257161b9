"""One training of a search, and all of them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from heedful.tuning.goal import Keep
from heedful.tuning.space import Settings

State = Literal["kept", "missed", "stopped", "dearer", "failed"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one combination of settings came to.

    Args:
        number: From 1 on; names its run folder.
        settings: What was searched, by key.
        state: `kept` or `missed` the quality; `stopped` because it learned too slowly; `dearer`
            than one that keeps the quality, so not trained to the end; or `failed`.
        quality: On the dev split; `None` unless it was trained to the end.
        cost: `None` where it is not known.
        remeasured: The latency measured in turns with the other finalists, after all trainings.
        seconds: From beginning to end.
        curve: Share of the training and loss on the dev split, at each evaluation.
        reason: Why it failed.
    """

    number: int
    settings: Settings
    state: State
    quality: float | None = None
    cost: float | None = None
    remeasured: float | None = None
    seconds: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for `trial_from_json`."""
        return asdict(self)


def trial_from_json(plain: dict[str, Any]) -> Trial:
    """Return what `Trial.to_json` wrote."""
    curve = tuple((float(share), float(loss)) for share, loss in plain["curve"])
    fields: dict[str, Any] = {**plain, "curve": curve}
    return Trial(**fields)


def ranked(trials: Sequence[Trial], keep: Keep, *, final: bool = True) -> list[Trial]:
    """Return those that keep the quality, the cheapest first; of equal ones the better.

    Args:
        trials: Any.
        keep: The quality.
        final: Let the latency that finalists were remeasured with decide between them, and put
            them before all others.
    """

    def order(trial: Trial) -> tuple[bool, float, float, int]:
        again = trial.remeasured if final else None
        missed = keep.missed_by(_number(trial.quality))
        return again is None, _number(trial.cost if again is None else again), missed, trial.number

    return sorted((trial for trial in trials if trial.state == "kept"), key=order)


def nearest(trials: Sequence[Trial], keep: Keep) -> Trial | None:
    """Return that which misses the quality by least, of those that were trained to the end."""
    whole = [trial for trial in trials if trial.state in ("kept", "missed")]
    return min(whole, key=lambda trial: keep.missed_by(_number(trial.quality)), default=None)


def _number(value: float | None) -> float:
    return math.inf if value is None else value
