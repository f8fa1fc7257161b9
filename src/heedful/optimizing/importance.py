"""How much each head matters: by gradients of gates, and by leaving heads out one by one."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.allocation.sites import Site
from heedful.optimizing.subject import Reference, Subject

Scores = dict[str, Float[Tensor, " heads"]]


def fisher(model: nn.Module, sites: Sequence[Site], subject: Subject, *, seed: int = 0) -> Scores:
    """Return the mean squared gradient of a gate on each head, the diagonal of Fisher's matrix.

    The gates multiply what a head mixed; the loss is that of labels drawn from the model's own
    answers, so no truth is needed, and a model that is sure is not mistaken for one that needs
    nothing. Of outputs that are no logits, a random projection stands in (Gauss-Newton).

    Source:
        Kwon et al. 2022, arXiv:2204.09656, section 4.2 (masks, diagonal Fisher information).

    Cost:
        One forward and backward pass over the calibration batches.
    """
    return _of_gates(model, sites, subject, lambda gradient: gradient.square(), seed)


def gate_gradient(
    model: nn.Module, sites: Sequence[Site], subject: Subject, *, seed: int = 0
) -> Scores:
    """Return the mean absolute gradient of a gate on each head.

    Source:
        Michel et al. 2019, arXiv:1905.10650, section 4.1.

    Cost:
        As `fisher`.
    """
    return _of_gates(model, sites, subject, lambda gradient: gradient.abs(), seed)


@torch.inference_mode()
def leave_one_out(model: nn.Module, sites: Sequence[Site], reference: Reference) -> Scores:
    """Return how far the outputs move from the original's when a head gives nothing.

    Cost:
        A pass over the calibration batches for every head: the reference for the cheap scores.
    """
    before = reference.damage(model)
    scores: Scores = {}
    for site in sites:
        heads = site.read(model).geometry.heads
        found: list[float] = []
        for head in range(heads):
            gates = torch.ones(heads, device=reference.subject.device)
            gates[head] = 0
            with gated(model, {site.name: gates}, [site]):
                found.append(reference.damage(model) - before)
        scores[site.name] = torch.tensor(found)
    return scores


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Tensor], sites: Sequence[Site]) -> Generator[None]:
    """Multiply what each head mixed by its gate for a while.

    Args:
        model: In the form of `separated`.
        gates: By site: `(heads,)`, or `(batch, heads)` for one of each row.
        sites: All that `gates` names.
    """
    handles: list[Any] = []
    try:
        for site in sites:
            if site.name in gates:
                tap = site.adapter.taps(site.of(model)).out
                handles.append(tap.register_forward_pre_hook(_times(gates[site.name])))
        yield
    finally:
        for handle in handles:
            handle.remove()


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's correlation: do two scores put heads in the same order?

    Ties share the mean of their ranks; 0 where one of the scores is the same for all.
    """
    ranks = torch.stack([_ranks(first.double()), _ranks(second.double())])
    if len(first) < 2 or (ranks.std(dim=1) == 0).any():
        return 0.0
    return torch.corrcoef(ranks)[0, 1].item()


def _ranks(values: Tensor) -> Tensor:
    below = (values[:, None] > values[None]).sum(1)
    same = (values[:, None] == values[None]).sum(1)
    return below + (same - 1) / 2


def _times(gate: Tensor) -> Callable[..., tuple[Any, ...]]:
    def multiply(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = args[0]
        size = mixed.shape[-1] // gate.shape[-1]
        factor = gate.repeat_interleave(size, dim=-1).to(mixed.dtype)
        if gate.ndim == 2:
            between = [1] * (mixed.ndim - 2)
            factor = factor[: len(mixed)].reshape(-1, *between, factor.shape[-1])
        return (mixed * factor, *args[1:])

    return multiply


def _of_gates(
    model: nn.Module,
    sites: Sequence[Site],
    subject: Subject,
    measure: Callable[[Tensor], Tensor],
    seed: int,
) -> Scores:
    generator = torch.Generator(device=subject.device).manual_seed(seed)
    heads = {site.name: site.read(model).geometry.heads for site in sites}
    heads = {name: count for name, count in heads.items() if count}
    scores = {name: torch.zeros(count, device=subject.device) for name, count in heads.items()}
    rows = 0
    for batch in subject.calibration:
        size = _leading(batch)
        gates = {
            name: torch.ones(size, count, device=subject.device, requires_grad=True)
            for name, count in heads.items()
        }
        with torch.enable_grad(), gated(model, gates, sites):
            loss = _own_loss(subject, subject.outputs(model, batch), generator)
        gradients = torch.autograd.grad(loss, list(gates.values()), materialize_grads=True)
        for name, gradient in zip(gates, gradients, strict=True):
            scores[name] += measure(gradient).sum(0)
        rows += size
    return {name: (score / rows).cpu() for name, score in scores.items()}


def _own_loss(subject: Subject, outputs: Tensor, generator: torch.Generator) -> Tensor:
    if subject.kind == "values":
        noise = torch.randn(outputs.shape, generator=generator, device=outputs.device)
        return (outputs * noise.to(outputs.dtype)).sum()
    logits = outputs.float().log_softmax(-1)
    drawn = torch.multinomial(logits.detach().exp(), 1, generator=generator)
    return -logits.gather(1, drawn).sum()


def _leading(batch: Any) -> int:
    """The largest first axis of the tensors in a batch: no site gets more rows than that."""
    if isinstance(batch, Tensor):
        return max(batch.shape[:2]) if batch.ndim > 1 else len(batch)
    parts = list(batch.values()) if isinstance(batch, Mapping) else list(batch)
    return max((_leading(x) for x in parts if isinstance(x, Tensor | list | tuple)), default=1)
