"""Least squares on the spot: let changed sites say again what they said, without any truth."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heedful.allocation.refit import solve
from heedful.allocation.sites import Site
from heedful.optimizing.problem import Problem


@torch.no_grad()
def reconstruct(
    model: nn.Module, before: nn.Module, sites: Sequence[Site], problem: Problem
) -> None:
    """Refit, in place, the output projections of changed sites, first to last.

    Each becomes the one that comes closest, in squares over the calibration batches, to what the
    site of `before` gives for the same batch, with all changes further up already felt.

    Args:
        model: A changed copy of `before`.
        before: In the form of `unfused`.
        sites: Those that were changed; dropped ones are left as they are.
        problem: Whose calibration batches are run.

    Source:
        Kwon et al. 2022, arXiv:2204.09656, section 4.3 (least squares after pruning).

    Cost:
        Two forward passes over the calibration batches for each site.
    """
    for site in sites:
        if site.read(model).geometry.heads:
            _refit(model, before, site, problem)


def _refit(model: nn.Module, before: nn.Module, site: Site, problem: Problem) -> None:
    inputs: list[Tensor] = []
    targets: list[Tensor] = []

    def hear_input(module: nn.Module, args: tuple[Any, ...]) -> None:
        inputs.append(_flat(args[0]))

    def hear_output(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        targets.append(_flat(output))

    biased = site.read(model).out_bias is not None  # else none is fitted
    rows = 0
    gram: Tensor | None = None
    product: Tensor | None = None
    new = site.adapter.hook_points(site.of(model)).out.register_forward_pre_hook(hear_input)
    old = site.adapter.hook_points(site.of(before)).out.register_forward_hook(hear_output)
    try:
        for batch in problem.calibration:
            inputs.clear()
            targets.clear()
            problem.outputs(before, batch)
            problem.outputs(model, batch)
            x, y = torch.cat(inputs), torch.cat(targets)
            x = nn.functional.pad(x, (0, 1), value=float(biased))
            rows += len(x)
            gram = x.T @ x if gram is None else gram + x.T @ x
            product = x.T @ y if product is None else product + x.T @ y
    finally:
        new.remove()
        old.remove()
    if gram is None or product is None or not rows or not torch.isfinite(gram).all():
        return
    projections = site.read(model)
    solution = solve(gram / rows, product / rows).to(projections.out)
    site.write(
        model,
        projections.with_(
            out=solution[:-1].unflatten(0, projections.out.shape[:2]),
            out_bias=solution[-1] if biased else None,
        ),
    )


def _flat(x: Tensor) -> Tensor:
    return x.detach().flatten(0, -2).double()
