"""How much each head matters: by gradients of gates, and by leaving heads out one by one."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.sites import Site
from heedful.optimizing.problem import Problem, Reference

Scores = dict[str, Float[Tensor, " heads"]]


class GateScores(NamedTuple):
    """What the gradients of gates on heads tell, by site.

    Args:
        fisher: The mean square, the diagonal of Fisher's matrix.
        gate_gradient: The mean absolute value.
    """

    fisher: Scores
    gate_gradient: Scores


def gate_scores(
    model: nn.Module, sites: Sequence[Site], problem: Problem, *, seed: int = 0
) -> GateScores:
    """Return how much each head matters by the gradients of a gate on it.

    The gates multiply what a head mixed; the loss is that of labels drawn from the model's own
    answers, so no truth is needed, and a model that is sure is not mistaken for one that needs
    nothing. Of outputs that are no logits, a random projection stands in (Gauss-Newton).

    Source:
        Kwon et al. 2022, arXiv:2204.09656, section 4.2 (masks, diagonal Fisher information);
        Michel et al. 2019, arXiv:1905.10650, section 4.1 (absolute gradients).

    Cost:
        One forward and backward pass over the calibration batches, for both.
    """
    generator = torch.Generator(device=problem.device).manual_seed(seed)
    heads = {site: site.read(model).geometry.heads for site in sites}
    heads = {site: count for site, count in heads.items() if count}
    squares = {site.name: torch.zeros(count) for site, count in heads.items()}
    sizes = {site.name: torch.zeros(count) for site, count in heads.items()}
    rows = dict.fromkeys(squares, 0)
    for batch in problem.calibration:
        for name, gradient in _gradients(model, heads, problem, batch, generator):
            squares[name] += gradient.square().sum(0).cpu()
            sizes[name] += gradient.abs().sum(0).cpu()
            rows[name] += len(gradient)
    return GateScores(
        *({name: x / max(1, rows[name]) for name, x in of.items()} for of in (squares, sizes))
    )


def fisher(model: nn.Module, sites: Sequence[Site], problem: Problem, *, seed: int = 0) -> Scores:
    """Return `GateScores.fisher` alone."""
    return gate_scores(model, sites, problem, seed=seed).fisher


@torch.inference_mode()
def leave_one_out(
    model: nn.Module,
    sites: Sequence[Site],
    reference: Reference,
    *,
    only: Mapping[str, Sequence[int]] | None = None,
) -> Scores:
    """Return how far the outputs move from the original's when a head gives nothing.

    Args:
        model: In the form of `unfused`.
        sites: Whose heads are left out.
        reference: What the original says.
        only: Which heads of each site; the others get NaN. `None` means all.

    Cost:
        A pass over the calibration batches for every head: the reference for the cheap scores.
    """
    before = reference.divergence(model)
    scores: Scores = {}
    for site in sites:
        heads = site.read(model).geometry.heads
        found = torch.full((heads,), torch.nan)
        for head in range(heads) if only is None else only.get(site.name, ()):
            gates = torch.ones(heads, device=reference.problem.device)
            gates[head] = 0
            with gated(model, {site.name: gates}, [site]):
                found[head] = reference.divergence(model) - before
        scores[site.name] = found
    return scores


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Tensor], sites: Sequence[Site]) -> Generator[None]:
    """Multiply what each head mixed by its gate for a while.

    Args:
        model: In the form of `unfused`.
        gates: By site: `(heads,)`.
        sites: All that `gates` names.
    """
    handles: list[Any] = []
    try:
        for site in sites:
            if site.name in gates:
                out = site.adapter.hook_points(site.of(model)).out
                handles.append(out.register_forward_pre_hook(partial(_times, gates[site.name])))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _times(gate: Tensor, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    mixed: Tensor = args[0]
    heads = mixed.unflatten(-1, (gate.shape[-1], -1))
    between = [1] * (mixed.ndim - gate.ndim)
    factor = gate.reshape(*gate.shape[:-1], *between, -1, 1).to(mixed.dtype)
    return ((heads * factor).flatten(-2), *args[1:])


def _gate(
    made: dict[int, Tensor], heads: int, module: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Multiply by a gate for each row and head; as many rows again find the same gate."""
    rows, device = len(args[0]), args[0].device
    if rows not in made:
        made[rows] = torch.ones(rows, heads, device=device, requires_grad=True)
    return _times(made[rows], module, args)


def _gradients(
    model: nn.Module,
    heads: Mapping[Site, int],
    problem: Problem,
    batch: Any,
    generator: torch.Generator,
) -> list[tuple[str, Tensor]]:
    """The gradients of the gates that a batch ran through, `(rows, heads)`, by their sites."""
    made: dict[str, dict[int, Tensor]] = {site.name: {} for site in heads}
    with torch.enable_grad(), ExitStack() as stack:
        for site, count in heads.items():
            out = site.adapter.hook_points(site.of(model)).out
            hook = out.register_forward_pre_hook(partial(_gate, made[site.name], count))
            stack.callback(hook.remove)
        loss = _own_loss(problem, problem.outputs(model, batch), generator)
    gates = [(name, gate) for name, of in made.items() for gate in of.values()]
    if not gates:
        return []
    gradients = torch.autograd.grad(loss, [gate for _, gate in gates], materialize_grads=True)
    return [(name, gradient) for (name, _), gradient in zip(gates, gradients, strict=True)]


def _own_loss(problem: Problem, outputs: Tensor, generator: torch.Generator) -> Tensor:
    if problem.kind == "values":
        noise = torch.randn(outputs.shape, generator=generator, device=outputs.device)
        return (outputs * noise.to(outputs.dtype)).sum()
    logits = outputs.float().log_softmax(-1)
    drawn = torch.multinomial(logits.detach().exp(), 1, generator=generator)
    return -logits.gather(1, drawn).sum()
