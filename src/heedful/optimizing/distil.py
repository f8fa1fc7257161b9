"""Layer-wise distillation: teach each changed site, by itself, to give what the original's gave."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heedful.allocation.sites import Site
from heedful.optimizing.descent import descend
from heedful.optimizing.subject import Subject

FASTER = 3  # times the learning rate of healing: a site alone has nothing behind it to upset
TINY = torch.finfo(torch.float32).tiny


def distil(
    model: nn.Module,
    before: nn.Module,
    sites: Sequence[Site],
    subject: Subject,
    *,
    steps: int,
    seed: int = 0,
    on_step: Callable[[int], object] | None = None,
) -> None:
    """Train changed sites, in place, towards what those of `before` give at the same places.

    All at once and each alone: what a site gives is compared, then replaced by what it should have
    given, so that the next one is asked what it was asked in `before`. No truth is needed, and no
    gradient leaves a site. Where healing is short this comes first, since it leaves less to heal;
    long healing makes up for it.

    Args:
        model: A changed copy of `before`.
        before: In the form of `separated`.
        sites: Those that were changed; dropped ones are left as they are.
        subject: Whose batches are run.
        steps: Of the optimiser; 0 leaves the model as it is.
        seed: Of the batches.
        on_step: Called after each step with its number, from 1.

    Raises:
        TrainingError: The loss is no longer a number.

    Source:
        Romero et al. 2015, arXiv:1412.6550, section 2.2 (hints), at every site instead of one.

    Cost:
        A forward pass of each model a step, and a backward pass of the sites.
    """
    present = [site for site in sites if site.read(model).geometry.heads]
    weights = (weight for site in present for weight in site.of(model).parameters())
    batches = subject.training(seed)
    with _Comparison(model, before, present) as comparison:

        def loss(step: int) -> Tensor:
            batch = next(batches)
            with subject.autocast():
                with torch.no_grad():
                    subject.outputs(before, batch)
                subject.outputs(model, batch)
            return comparison.loss()

        descend(
            _learnable(weights),
            loss,
            steps=steps,
            learning_rate=FASTER * subject.learning_rate,
            on_step=on_step,
        )


def _learnable(weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [weight for weight in weights if weight.requires_grad]


class _Comparison(ExitStack):
    """Listens to the same sites of two models while it is open.

    Args:
        model: Runs second, and is given what `before` gave.
        before: Runs first.
        sites: With heads left in `model`.
    """

    def __init__(self, model: nn.Module, before: nn.Module, sites: Sequence[Site]) -> None:
        super().__init__()
        self.distances: list[Tensor] = []
        self.given: dict[str, list[Tensor]] = {site.name: [] for site in sites}
        for site in sites:
            for of, heard in ((before, self._keep), (model, self._compare)):
                out = site.adapter.taps(site.of(of)).out
                self.callback(out.register_forward_hook(partial(heard, site.name)).remove)

    def loss(self) -> Tensor:
        """Return the sum over sites of the squared distance, as a share of the variance."""
        total = sum(self.distances, start=torch.zeros((), requires_grad=True))
        self.distances = []
        return total

    def _keep(self, name: str, module: nn.Module, args: tuple[Any, ...], given: Tensor) -> None:
        self.given[name].append(given)

    def _compare(self, name: str, module: nn.Module, args: tuple[Any, ...], now: Tensor) -> Tensor:
        given = self.given[name].pop(0)
        spread = given.float().var(correction=0).clamp(min=TINY)
        self.distances.append((now.float() - given.float()).square().mean() / spread)
        return given
