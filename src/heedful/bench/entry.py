"""What is compared for a task: its models, and what needs no attention at all."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from heedful.config.problems import unknown_choice
from heedful.data.examples import Splits
from heedful.errors import ConfigError
from heedful.tasks.base import Task
from heedful.tasks.catalog import BUILT_IN

Baseline = Callable[[Task[Any, Any], Splits[Any]], Sequence[Any]]
Examples = Callable[[Any], Sequence[Any]]
Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is compared for a task.

    Args:
        metric: Of the test split.
        models: Settings of each, by a name for the table; the first one is optimised.
        baselines: Answers to the test split without a network, from the fitted task and the splits,
            by a name for the table: the trivial one first, then the classical ones.
        data: A name for the table.
        tables: Settings of all.
        shift: A name, and what makes labelled examples of a config that come from elsewhere than
            the training's: another speaker, longer texts. `None` where the data has no such thing.
        budget: What `optimize` may lose, e.g. `accuracy 1`.
    """

    metric: str
    models: Mapping[str, Tables]
    baselines: Mapping[str, Baseline]
    data: str
    budget: str
    tables: Tables = field(default_factory=dict[str, Mapping[str, Any]])
    shift: tuple[str, Examples] | None = None


def find_entry(name: str) -> Entry:
    """Return what is compared for a built-in task.

    Raises:
        ConfigError: There is no such task.
    """
    if name not in BUILT_IN:
        raise ConfigError(unknown_choice("task", BUILT_IN, name))
    module = importlib.import_module(f"heedful.bench.entries.{name.replace('-', '_')}")
    return cast(Entry, module.ENTRY)
