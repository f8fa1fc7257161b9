"""Decision paths: the strongest ways from a target through heads to a piece, each cut."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from heedful.errors import ConfigError
from heedful.explaining._backwards import Mixture, relevance
from heedful.explaining._cuts import Drawing, drops
from heedful.explaining._search import Path, Through, strongest
from heedful.explaining.explanation import DecisionPath
from heedful.explaining.gradient_attention import helpful, targets_at_once
from heedful.explaining.looks import Looks, look
from heedful.explaining.question import NOWHERE, Question, Route, Step

RANDOM = 16  # paths that each one is compared with


def decision_paths(
    model: nn.Module, question: Question, *, paths: int = 3, seed: int = 0
) -> tuple[DecisionPath, ...]:
    """Return the strongest paths of each target, and what cutting each of them does.

    A path goes from where a target is read to a piece; at every step it stays where it is, or goes
    through one head from the place that looks to a place that it looks at. Its strength is the
    product of `max(0, gradient * weight) / heads` on the way, so that all paths together are what
    gradient x attention says. To cut it is to set the weights on its way to 0, which cuts other
    paths that share one, too.

    Args:
        model: Of which the question is.
        question: What is asked.
        paths: How many of each target, of as many as there are. Those through no head are none.
        seed: Of the random paths.

    Returns:
        The strongest first, target by target.

    Raises:
        ConfigError: `paths` is below 1.
        UnsupportedError: The model has no attention that leads to its input, or a weight of it
            cannot be cut.

    Source:
        Chefer et al. 2021, arXiv:2103.15679, equations 5 and 6, for the strengths. The search for
        the k best and the test are ours.

    Cost:
        That of gradient x attention, `rows * heads * keys * paths` for each step and target, and 17
        copies of the input for each path.
    """
    if paths < 1:
        raise ConfigError(f"paths must be at least 1, got {paths}")
    random = np.random.default_rng(seed)
    found: list[tuple[int, Path, float, list[tuple[Through, ...]]]] = []
    looks = None
    for targets in targets_at_once(question):
        looks, _ = look(model, question, targets)
        totals = relevance(looks, question, targets, helpful, Mixture(1.0, 1.0)).sum(1).tolist()
        for number, (target, total) in enumerate(zip(targets, totals, strict=True)):
            drawing = Drawing(looks, target, random)
            for best in strongest(looks, target, number, paths):
                others = [each for _ in range(RANDOM) if (each := drawing.like(best))]
                found.append((target, best, best.value / total, others))
    if looks is None or not found:
        return ()
    return _tested(model, question, looks, found)


def _tested(
    model: nn.Module,
    question: Question,
    looks: Looks,
    found: Sequence[tuple[int, Path, float, list[tuple[Through, ...]]]],
) -> tuple[DecisionPath, ...]:
    """Cut every path, and those that it is compared with, each in a copy of its own."""
    ways = [(target, way) for target, best, _, others in found for way in (best.heads, *others)]
    fell = drops(model, question, looks, ways)
    tested: list[DecisionPath] = []
    start = 0
    for target, best, strength, others in found:
        own, *random = fell[start : start + 1 + len(others)]
        start += 1 + len(others)
        tested.append(
            DecisionPath(
                target=target,
                piece=best.piece,
                heads=tuple((_name(looks.route.steps[t.step]), t.head) for t in best.heads),
                strength=strength,
                drop=own,
                random_drop=float(np.mean(random)) if random else 0.0,
                through=tuple(_place(question, looks.route, t) for t in best.heads[:-1]),
            )
        )
    return tuple(tested)


def _place(question: Question, route: Route, through: Through) -> str:
    """What stands at the place that a head looks at; else its number, counted from 1."""
    sequence = route.steps[through.step].keys
    pieces = route.places.get(sequence, ())
    if through.key < len(pieces) and pieces[through.key] != NOWHERE:
        return question.pieces[pieces[through.key]]
    if sequence == route.answer and through.key in (route.rows or ()):
        return question.targets[(route.rows or ()).index(through.key)]
    return f"#{through.key + 1}"


def _name(step: Step) -> str:
    return step.site if step.call is None else f"{step.site}, call {step.call}"
