"""What was chosen as the parameters of Optuna, and back."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from heedful.config.hints import Value
from heedful.tuning.space import Params, Space

if TYPE_CHECKING:
    from optuna import Trial as OptunaTrial

Pick = Callable[[str, Sequence[Value]], Value]


def suggested(trial: "OptunaTrial", space: Space, valid: Sequence[Params]) -> Params:
    """Let Optuna choose a point of a space.

    Args:
        trial: Asked for just now.
        space: Where to look.
        valid: The combinations of its choices that make a model.
    """

    def pick(name: str, values: Sequence[Value]) -> Value:
        if _ordered(values):
            return values[trial.suggest_int(name, 0, len(values) - 1)]
        return cast(Value, trial.suggest_categorical(name, values))

    params = _walked(space, valid, pick)
    for one in space.ranges:
        params[one.key] = trial.suggest_float(one.key, one.low, one.high, log=one.low > 0)
    return params


def encoded(params: Params, space: Space, valid: Sequence[Params]) -> dict[str, Any]:
    """Return the parameters with which `suggested` gives these.

    Ranges that they lack are left to Optuna.
    """
    parameters: dict[str, Any] = {}

    def pick(name: str, values: Sequence[Value]) -> Value:
        value = params[name.partition(" ")[0]]
        parameters[name] = values.index(value) if _ordered(values) else value
        return value

    _walked(space, valid, pick)
    ranges = {one.key for one in space.ranges}
    return parameters | {key: params[key] for key in ranges & params.keys()}


def _walked(space: Space, valid: Sequence[Params], pick: Pick) -> Params:
    """Choose value after value, each among those that still lead to a model.

    A parameter is named after its values: Optuna wants the same ones at every trial.
    """
    left, params = valid, dict[str, Value]()
    for choice in space.choices:
        reachable = {one[choice.key] for one in left}
        values = [value for value in choice.values if value in reachable]
        params[choice.key] = (
            values[0]
            if len(values) == 1
            else pick(f"{choice.key} of {', '.join(map(str, values))}", values)
        )
        left = [one for one in left if one[choice.key] == params[choice.key]]
    return params


def _ordered(values: Sequence[Value]) -> bool:
    numbers = [value for value in values if isinstance(value, int | float)]
    return len(numbers) == len(values) and not any(isinstance(value, bool) for value in values)
