"""One training of a search, and all of them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from heedful.tuning.goal import Keep
from heedful.tuning.space import Params

State = Literal["complete", "pruned", "fail"]  # as in Optuna
SLOW, COST = "slow", "cost"  # why a trial is pruned

# the states that were written before they had Optuna's names
_OLD_STATES: dict[str, dict[str, Any]] = {
    "kept": {"state": "complete", "feasible": True},
    "missed": {"state": "complete", "feasible": False},
    "stopped": {"state": "pruned", "reason": SLOW},
    "dearer": {"state": "pruned", "reason": COST},
    "failed": {"state": "fail"},
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one combination of settings came to.

    Args:
        number: From 1 on; names its run folder.
        params: What was searched, by key.
        state: `complete`, where it was trained to the end; `pruned`, where it was not worth that;
            or `fail`.
        feasible: Whether it keeps the quality; `None` unless it is complete.
        quality: On the dev split; `None` unless it is complete.
        cost: `None` where it is not known.
        remeasured: The latency measured in turns with the other finalists, after all trainings.
        seconds: From beginning to end.
        curve: Share of the training and the score that chooses its checkpoint, at each evaluation.
        reason: Why it failed, or was pruned: `slow`, it learned too slowly; or `cost`, it costs no
            less than one that keeps the quality.
    """

    number: int
    params: Params
    state: State
    feasible: bool | None = None
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
    """Return what `Trial.to_json` wrote, also before it wrote what it writes now."""
    curve = tuple((float(share), float(score)) for share, score in plain["curve"])
    fields: dict[str, Any] = {**plain, "curve": curve}
    if "settings" in fields:
        fields["params"] = fields.pop("settings")
        fields |= _OLD_STATES[fields["state"]]
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

    return sorted((trial for trial in trials if trial.feasible), key=order)


def nearest(trials: Sequence[Trial], keep: Keep) -> Trial | None:
    """Return that which misses the quality by least, of those that were trained to the end."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=lambda trial: keep.missed_by(_number(trial.quality)), default=None)


def _number(value: float | None) -> float:
    return math.inf if value is None else value
