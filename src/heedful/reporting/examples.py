"""Held-out examples as the page shows them: answered, and explained where the task can be asked."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch

from heedful.errors import HeedfulError, UnsupportedError
from heedful.explaining.attempt import attempt
from heedful.explaining.explain import explain_question
from heedful.explaining.explanation import Explanation
from heedful.explaining.paths import decision_paths
from heedful.report.run_page.data import Shown
from heedful.tasks.remarks import shortened
from heedful.training.run import Run

LONGEST = 240  # characters of a field
cut = partial(shortened, most=LONGEST)
MOST_ITEMS = 12  # of a list
ENDS = (".", "!", "?", "。", "！", "？")  # of sentences, which need no comma between them


def show_examples(
    run: Run,
    examples: Sequence[Any],
    *,
    draws: int,
    seed: int,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[Shown, ...]:
    """Return examples with their answers, and why the model gave them.

    Args:
        run: The run.
        examples: To show.
        draws: Random maps that each explanation is compared with.
        seed: Of these.
        tell: Called with what is being done.
    """
    if not examples:
        return ()
    task, model = run.task, run.model
    with torch.inference_mode():
        answers = task.answer(model, task.encode(list(examples)))
    shown: list[Shown] = []
    for number, (example, answer) in enumerate(zip(examples, answers, strict=True), 1):
        tell(f"explaining example {number} of {len(examples)}")
        asked, said = fields_of(example), said_in_a_line(task.show(answer))
        explained = _explained(run, example, answer, draws=draws, seed=seed)
        shown.append(Shown(asked=asked, answer=said, **explained))
    return tuple(shown)


def said_in_a_line(answer: str) -> str:
    """Return an answer as `Task.show` gives it, its columns apart."""
    return cut(" · ".join(" ".join(column.split()) for column in answer.split("\t")))


def fields_of(example: Any) -> dict[str, str]:
    """Return what an example holds, name by name, as far as it can be told in words."""
    if not is_dataclass(example):
        return {"input": cut(_told(example))}
    found = {each.name: _told(getattr(example, each.name)) for each in fields(example)}
    told = {name: cut(value) for name, value in found.items() if value and not _inner(name)}
    return told or {name: cut(value) for name, value in found.items() if value}


def _inner(name: str) -> bool:
    """Does a field only serve the program, e.g. to tell that a file was changed?"""
    return name in ("hash", "seed", "known", "evidence") or name.endswith("_hash")


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Mapping):
        return cut(str(value))
    if is_dataclass(value):  # as a box: what and where
        return cut(" ".join(_told(getattr(value, each.name)) for each in fields(value)))
    if isinstance(value, Sequence):
        items = list(filter(None, map(_told, value[:MOST_ITEMS])))
        more = f", … ({len(value)})" if len(value) > MOST_ITEMS else ""
        between = " " if items and all(item.endswith(ENDS) for item in items) else ", "
        return between.join(items) + more
    return ""


def _explained(run: Run, example: Any, answer: Any, *, draws: int, seed: int) -> dict[str, Any]:
    """An explanation with its verdict; else where the model looked, and why nobody tested that."""

    def explain() -> Explanation:
        question = run.task.question(run.model, example, answer)
        found = explain_question(run.model, question, draws=draws, seed=seed)
        with contextlib.suppress(UnsupportedError):  # no attention leads to the input
            found = replace(found, paths=decision_paths(run.model, question, seed=seed))
        return found

    found = attempt(explain)
    if isinstance(found, Explanation):
        return {"explanation": found}
    try:
        picture = run.task.picture(run.model, example, answer)
    except HeedfulError:
        picture = None
    return {"picture": picture, "reason": found.reason}
