"""What must hold for the question of every task that can be asked why."""

import contextlib
from typing import Any

import torch
from torch import nn

from heedful.errors import UnsupportedError, VerificationError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.question import Question
from heedful.explaining.rollout import rollout
from heedful.tasks.base import Task


def check_asked(task: Task[Any, Any], model: nn.Module, example: Any) -> None:
    """Check the question about an answer of a task that can be asked; others say why they cannot.

    Args:
        task: With what it has learned.
        model: Of the task.
        example: That is answered.

    Raises:
        VerificationError: A promise is broken.
    """
    (answer,) = task.answer(model, task.encode([example]))
    with contextlib.suppress(UnsupportedError):
        check_question(task.question(model, example, answer), model)


def check_question(question: Question, model: nn.Module) -> None:
    """Check that a question can be asked: its scores, its gradients, its route.

    Args:
        question: Of a task, an example and its answer.
        model: That gave the answer.

    Raises:
        VerificationError: A promise is broken.
    """
    device, count = next(model.parameters()).device, len(question.pieces)
    alone = ~torch.eye(count, dtype=torch.bool, device=device)
    kept = torch.cat([torch.ones(1, count, dtype=torch.bool, device=device), alone])
    with torch.inference_mode():
        scores = question.scores(model, question.inputs(kept))
        again = question.scores(model, question.inputs(kept[:1]))
    expected = (count + 1, len(question.targets))
    _promise(tuple(scores.shape) == expected, f"scores must be {expected}, got {scores.shape}")
    _promise(bool(scores.isfinite().all()), "scores must be finite")
    _promise(
        torch.allclose(scores[:1], again, atol=1e-3, rtol=1e-3), "copies must not know each other"
    )
    if question.route is None:
        return
    for method in (gradient_attention, rollout):
        found = method(model, question)
        right = found.weights.shape == (len(question.targets), count)
        _promise(right, f"weights must be (targets, pieces), got {found.weights.shape}")
        _promise(bool((found.weights >= 0).all()), "weights of attention must not be negative")
        _promise(found.error is None or found.error < 1e-2, f"error must be small: {found.error}")


def _promise(kept: Any, said: str) -> None:
    if not kept:
        raise VerificationError(said)
