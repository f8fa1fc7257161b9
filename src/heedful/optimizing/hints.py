"""Hints: how far the sites of a changed model are from giving what they gave."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.sites import Site

TINY = torch.finfo(torch.float32).tiny


class Hints(ExitStack):
    """Compares the same sites of two models while it is open; `before` must run first.

    Args:
        model: A changed copy of `before`.
        before: In the form of `unfused`.
        sites: To compare; those without heads in `model` are left out.
        forced: Give `model` what `before` gave, once it is compared? Then every site is asked what
            it was asked in `before`, and no gradient leaves a site.

    Source:
        Romero et al. 2015, arXiv:1412.6550, section 2.2, at every site instead of one.
    """

    def __init__(
        self, model: nn.Module, before: nn.Module, sites: Sequence[Site], *, forced: bool = False
    ) -> None:
        super().__init__()
        self.sites = [site for site in sites if site.read(model).geometry.heads]
        self.forced = forced
        self._distances: list[Tensor] = []
        self._given: dict[str, list[Tensor]] = {site.name: [] for site in self.sites}
        for site in self.sites:
            for of, heard in ((before, self._keep), (model, self._compare)):
                out = site.adapter.hook_points(site.of(of)).out
                self.callback(out.register_forward_hook(partial(heard, site.name)).remove)

    def loss(self) -> Float[Tensor, ""]:
        """Return the sum over sites, since the last time, of the squared distance.

        As a share of the variance of what `before` gave.
        """
        total = sum(self._distances, start=torch.zeros((), requires_grad=True))
        self._distances = []
        return total

    def _keep(self, name: str, module: nn.Module, args: tuple[Any, ...], given: Tensor) -> None:
        self._given[name].append(given)

    def _compare(
        self, name: str, module: nn.Module, args: tuple[Any, ...], now: Tensor
    ) -> Tensor | None:
        given = self._given[name].pop(0)
        spread = given.float().var(correction=0).clamp(min=TINY)
        self._distances.append((now.float() - given.float()).square().mean() / spread)
        return given if self.forced else None
