"""Integrated gradients: slopes, summed on the way from an input with nothing left to the whole."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heedful.devices import device_of
from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining.looks import differentiable
from heedful.explaining.maps import Maps
from heedful.explaining.question import NOWHERE, Question
from heedful.explaining.removal import copies_at_once


def integrated_gradients(model: nn.Module, question: Question, *, steps: int = 32) -> Maps:
    """Return what each piece adds to the score on the straight way from none of them to all.

    The way leads through the vectors that `question.embedding` gives: from those of the input with
    all pieces removed to those of the whole one, all at one pace. Where an input closes up when
    pieces are left out, so that something else stands in their places, it begins with zeros.
    Vectors of no piece, e.g. markers, are those of the whole input all the way.

    A piece gets the integral of the slope along its own vectors, by Gauss and Legendre's rule with
    `steps` nodes; it is negative where it speaks against the target. All pieces together get the
    score at the end minus that at the start (completeness), but for the error of that rule.

    Args:
        model: Of which the question is.
        question: What is asked; it names an `embedding`.
        steps: Nodes of the integral.

    Raises:
        ConfigError: `steps` is below 1, or no output of the embedding has the places of `embedded`.
        UnsupportedError: The question names no embedding.

    Source:
        Sundararajan et al. 2017, arXiv:1703.01365, equation 1; completeness is proposition 1.

    Cost:
        `targets x steps` copies of the input forward and backward, 128 at a time.
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, got {steps}")
    if not question.embedding:
        raise UnsupportedError(
            "a question must name an embedding for integrated gradients, got none; "
            "occlusion needs none"
        )
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    targets, size = len(question.targets), copies_at_once(question)
    with differentiable(model):
        path = _Path(model, question)
        copies = torch.arange(targets * steps, device=device_of(model))
        at = torch.tensor((nodes + 1) / 2, device=copies.device)[copies % steps]
        slopes = [
            path.slopes(some // steps, where)
            for some, where in zip(copies.split(size), at.split(size), strict=True)
        ]
    found = torch.cat(slopes).double().cpu().numpy().reshape(targets, steps, -1)
    return Maps(np.einsum("tsp,s->tp", found, shares / 2))


class _Path:
    """The way from vectors of nothing to those of the whole input.

    Args:
        model: Of which the question is.
        question: What is asked.

    Raises:
        ConfigError: No output of the embedding has the places of the question.
    """

    def __init__(self, model: nn.Module, question: Question) -> None:
        self._model, self._question = model, question
        outputs = _outputs(model, question, kept=True)
        places = len(question.embedded)
        sizes = [_places(question, output).numel() for output in outputs]
        exact = [call for call, size in enumerate(sizes) if size == places]
        fitting = exact or [call for call, size in enumerate(sizes) if size > places]
        if not fitting:
            raise ConfigError(
                f"{question.embedding} must give vectors of {places} places, got {sizes}"
            )
        self._call = fitting[0]
        self._end = outputs[self._call]
        padding = sizes[self._call] - places
        pieces = torch.tensor((*question.embedded, *[NOWHERE] * padding), device=self._end.device)
        self._inside, self._pieces = pieces != NOWHERE, pieces.clamp(min=0)
        empty = _outputs(model, question, kept=False)[self._call]
        self._start = empty if self._stays(empty) else torch.zeros_like(self._end)

    def _stays(self, empty: Tensor) -> bool:
        """Is everything that is no piece where it was when all pieces are removed?"""
        if empty.shape != self._end.shape:
            return False
        moved = self._in_places(~self._inside[None]) & (empty != self._end)
        return not moved.any()

    def slopes(self, targets: Tensor, at: Tensor) -> Tensor:
        """Return the slopes `(copies, pieces)` of a target each, at these shares of the way."""
        pieces = len(self._question.pieces)
        gates = at.to(self._end.dtype)[:, None].repeat(1, pieces).requires_grad_()
        with torch.enable_grad():
            vectors = self._at(gates)

            def put(call: int, output: Tensor) -> Tensor:
                return vectors if call == self._call else output

            with _heard(self._model, self._question, put):
                scores = _scores(self._model, self._question, torch.ones_like(gates).bool())
            return torch.autograd.grad(scores.gather(1, targets[:, None]).sum(), gates)[0]

    def _at(self, gates: Tensor) -> Tensor:
        shares = torch.where(self._inside, gates[:, self._pieces], 1.0)
        return torch.lerp(self._start, self._end, self._in_places(shares))

    def _in_places(self, numbers: Tensor) -> Tensor:
        """A number for each place `(copies, places)`, as vectors lie."""
        numbers = numbers.unflatten(1, _places(self._question, self._end))
        return numbers.unsqueeze(1 if self._question.channels_first else -1)


def _outputs(model: nn.Module, question: Question, *, kept: bool) -> list[Tensor]:
    """What the embedding gives, call by call, for the whole input or for that without any piece."""
    outputs: list[Tensor] = []
    copies = torch.full((1, len(question.pieces)), kept, device=device_of(model))
    with torch.no_grad(), _heard(model, question, lambda _, output: outputs.append(output)):
        _scores(model, question, copies)
    return outputs


@contextmanager
def _heard(
    model: nn.Module, question: Question, listen: Callable[[int, Tensor], Tensor | None]
) -> Generator[None]:
    """Hand over each output of the embedding with the number of its call; take what comes back."""
    calls = count()

    def hook(_module: nn.Module, _given: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return listen(next(calls), output)

    handle = model.get_submodule(question.embedding).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _places(question: Question, output: Tensor) -> torch.Size:
    """The axes of an output that are neither copies nor vectors."""
    return output.shape[2:] if question.channels_first else output.shape[1:-1]


def _scores(model: nn.Module, question: Question, kept: Tensor) -> Tensor:
    return question.scores(model, question.inputs(kept))
