"""One answer of a model explained, and the explanation judged."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from heedful.errors import ConfigError
from heedful.explaining.attention import attention
from heedful.explaining.explanation import Explanation
from heedful.explaining.maps import Maps
from heedful.explaining.methods import Method, find_method
from heedful.explaining.question import Question
from heedful.explaining.randomised import resemblance
from heedful.explaining.stretches import in_stretches, summed
from heedful.explaining.verdict import judge


def explain_question(
    model: nn.Module,
    question: Question,
    *,
    method: str | None = None,
    site: str | None = None,
    head: int | None = None,
    test: bool = True,
    draws: int = 200,
    seed: int = 0,
) -> Explanation:
    """Say how much each piece of an input counts for an answer, and whether that can be trusted.

    Args:
        model: Of which the question is.
        question: What is asked.
        method: One of `heedful.explaining.methods.METHODS`; `None` means the one of the question,
            else `gradient-attention`, or `occlusion` where no attention leads to the input.
        site: With the method `attention`: which one; `None` means the last that looks at the input.
        head: With the method `attention`: which one; `None` means the mean.
        test: Is the map judged? Otherwise its word is "not tested".
        draws: Random maps that it is judged against.
        seed: Of what is random.

    Raises:
        ConfigError: There is no such method, site or head.
        DataError: A score is not finite.
        UnsupportedError: The method needs what the model has not.

    Cost:
        That of the method; with `test` that of `judge`, and the method 5 times more. Inputs of more
        than 512 pieces are judged in 128 stretches of neighbouring ones.
    """
    name, chosen = _chosen(question, method, site, head)
    found = chosen(model, question)
    explanation = Explanation(
        pieces=question.pieces,
        targets=question.targets,
        weights=found.weights,
        method=name,
        removal=question.removal,
        error=found.error,
        shape=question.shape,
        canvas=question.canvas,
        title=question.title,
        score=question.score,
    )
    return tested(model, question, explanation, chosen, draws, seed) if test else explanation


def tested(
    model: nn.Module,
    question: Question,
    explanation: Explanation,
    method: Method,
    draws: int,
    seed: int,
) -> Explanation:
    """Return an explanation with its verdict; a long input is judged in stretches of it."""
    weights = explanation.weights
    cut = in_stretches(question)
    if cut is not None:
        question, stretch = cut
        weights = summed(weights, stretch)
    alike = resemblance(model, question, method, weights, seed=seed)
    verdict = judge(model, question, weights, resemblance=alike, draws=draws, seed=seed)
    if cut is not None:
        count = len(question.pieces)
        reason = f"in {count} stretches of about {question.together} pieces each: {verdict.reason}"
        verdict = replace(verdict, stretches=count, reason=reason)
    return replace(explanation, verdict=verdict)


def _chosen(
    question: Question, method: str | None, site: str | None, head: int | None
) -> tuple[str, Method]:
    """The name of the method, and the method.

    Raises:
        ConfigError: There is no such method, or it has no site and no head.
    """
    name = method or question.method
    name = name or ("occlusion" if question.route is None else "gradient-attention")
    found: Callable[[nn.Module, Question], Maps] = find_method(name)
    if site is None and head is None:
        return name, found
    if name != "attention":
        raise ConfigError(f"site and head must come with the method attention, got {name}")
    where = ", ".join(part for part in (site or "", "" if head is None else f"head {head}") if part)
    return f"attention of {where}", partial(attention, site=site, head=head)
