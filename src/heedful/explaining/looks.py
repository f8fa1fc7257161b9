"""What the sites of a route looked at, and what looking there was worth, block by block."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.devices import device_of
from heedful.errors import UnsupportedError
from heedful.explaining.question import Question, Route
from heedful.probing.call import ProbedCall
from heedful.probing.fidelity import differs, fidelity
from heedful.probing.gradients import WeightGradients
from heedful.probing.probe import Probe, probe

BLOCK = 128  # rows of a map at a time, of longer inputs fewer
ROOM = 2**23  # weights at a time


class Look(NamedTuple):
    """Some rows of what a site looked at.

    Args:
        rows: Which ones; those of a decoder that goes step by step count on.
        weights: `(targets or 1, heads, rows, keys)`.
        gradients: Of each target's score by the weights, alike; empty where not asked for.
    """

    rows: slice
    weights: Tensor
    gradients: Tensor


class Looks:
    """The maps along the route of a question.

    Args:
        heard: The captured calls, each with a batch row for each target, or one for all.
        route: Whose sites.
        gradients: Were they asked for?

    Attributes:
        error: The largest error of a map, of what attention adds there; `None`: it cannot be told.

    Raises:
        UnsupportedError: A site cannot be observed, or a map is not the one that the model used.
    """

    def __init__(self, heard: Probe, route: Route, *, gradients: bool) -> None:
        self._heard, self._gradients = heard, gradients
        self.route = route
        self.error = _error(heard, [step.site for step in route.steps])

    def along(self, route: Route) -> "Looks":
        """Return the same maps along another route."""
        return Looks(self._heard, route, gradients=self._gradients)

    def of(self, site: str, only: int | None = None) -> Iterator[Look]:
        """Go through the rows of a site, of one of its calls or of all."""
        start = 0
        for number, call in self._calls(site, only):
            slopes = WeightGradients(call) if self._gradients else None
            batch, heads, _, keys = call.shape
            size = max(1, min(BLOCK, ROOM // max(1, batch * heads * keys)))
            for block in self._heard.blocks(site, call=number, block=size):
                rows = slice(start, start + len(block.rows))
                nothing = block.weights.new_empty(0)
                slope = nothing if slopes is None else slopes.at(block.rows.tolist())
                yield Look(rows, block.weights, slope)
                start = rows.stop

    def size(self, site: str, only: int | None = None) -> tuple[int, int]:
        """Return how many rows and how many keys a site has, in one of its calls or in all."""
        calls = [call for _, call in self._calls(site, only)]
        return sum(call.queries for call in calls), max(call.weights.keys for call in calls)

    def calls(self, site: str) -> list[int]:
        """Return how many rows each call of a site has."""
        return [call.queries for call in self._heard.calls(site)]

    def _calls(self, site: str, only: int | None) -> list[tuple[int, ProbedCall]]:
        calls = [*enumerate(self._heard.calls(site))]
        if only is None:
            return calls
        if not 0 <= only < len(calls):
            raise UnsupportedError(f"{site} must be called for each step, got no call {only}")
        return [calls[only]]

    def heads(self, site: str) -> int:
        """Return how many heads a site has."""
        return len(self._heard.calls(site)[0].heads)


def look(
    model: nn.Module, question: Question, targets: Sequence[int] | None = None
) -> tuple[Looks, Tensor]:
    """Ask the model, and read the maps of the route.

    Args:
        model: Of which the question is.
        question: With a route.
        targets: For each of which the gradients are asked for; `None` means: none are.

    Returns:
        The maps, and the scores of all targets, `(targets or 1, all targets)`.

    Raises:
        UnsupportedError: The question has no route, a site cannot be observed, or a map is not the
            one that the model used.

    Cost:
        One forward pass over as many copies of the input as targets, and one backward pass. What is
        kept is linear in the length of the input.
    """
    if question.route is None:
        raise UnsupportedError(
            "the model must have attention that leads to its input for this method, got none; "
            "occlusion asks for no attention"
        )
    sites = list(dict.fromkeys(step.site for step in question.route.steps))
    kept = torch.ones(
        1 if targets is None else len(targets),
        len(question.pieces),
        dtype=torch.bool,
        device=device_of(model),
    )
    with differentiable(model, on=targets is not None) as parameters:
        with probe(model, sites=sites, gradients=targets is not None) as heard:
            scores = question.scores(model, question.inputs(kept))
        if targets is not None:
            total = scores[range(len(targets)), list(targets)].sum()
            torch.autograd.grad(total, parameters, allow_unused=True)
    return Looks(heard, question.route, gradients=targets is not None), scores.detach()


@contextmanager
def differentiable(model: nn.Module, *, on: bool = True) -> Generator[list[nn.Parameter]]:
    """Answer as in evaluation, with gradients or without; everything is as it was afterwards.

    What it yields are the parameters that a gradient can be taken by.

    Raises:
        UnsupportedError: They were made in inference mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [each for each in model.parameters() if on and each.is_floating_point()]
    if any(each.is_inference() for each in parameters):
        raise UnsupportedError(
            "the model must be made or loaded outside of inference mode for its gradients, "
            "got inference tensors"
        )
    flags = [each.requires_grad for each in parameters]
    model.eval()
    try:
        # the backward pass of cuDNN's recurrent layers wants training mode
        with torch.set_grad_enabled(on), torch.backends.cudnn.flags(enabled=not on):
            for each in parameters:
                each.requires_grad_()
            yield parameters
    finally:
        for each, flag in zip(parameters, flags, strict=True):
            each.requires_grad_(flag)
        for module, training in modes:
            module.training = training


def _error(heard: Probe, sites: Sequence[str]) -> float | None:
    worst: float | None = 0.0
    for site in dict.fromkeys(sites):
        if site in heard.unobservable:
            raise UnsupportedError(f"{site} must be observable, got: {heard.unobservable[site]}")
        for call in heard.calls(site):
            error = fidelity(call).error
            if differs(call, error):
                raise UnsupportedError(
                    f"the map of {site} must be the one that the model used, got an error of "
                    f"{error:.2g} of what attention adds there"
                )
            worst = None if worst is None or error is None else max(worst, error)
    return worst
