"""Rules on graphs: what `torch.compile` and `torch.export` make of the function is the function."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from heedful.testing.claim import Claim, Refused, answering, words
from heedful.testing.masks import Sizes
from heedful.testing.rules._rule import assert_same, masked, size_of


class _Call(nn.Module):
    """One call as a module, because graphs are made of those."""

    def __init__(self, claim: Claim, names: list[str], kind: str, sizes: Sizes) -> None:
        super().__init__()
        self.claim, self.names = claim, names
        self.mask, _ = masked(claim, kind, sizes)

    def forward(self, *tensors: Tensor) -> Tensor:
        named = dict(zip(self.names, tensors, strict=True))
        return self.claim.attention(**named, mask=self.mask, **self.claim.settings)


def compiles(claim: Claim, kind: str) -> None:
    """`torch.compile(fullgraph=True)` gives the same, forward and backward.

    Raises:
        Refused: There is no such graph.
    """
    sizes = claim.fit(Sizes())
    tensors = claim.draw(sizes, torch.float32)
    call = _Call(claim, list(tensors), kind, sizes)
    with answering():
        want, gradients = _run(call, tensors)
    torch.compiler.reset()
    try:
        # the graph is what is looked at, not the code that a backend makes of it
        actual, others = _run(torch.compile(call, fullgraph=True, backend="aot_eager"), tensors)
    except Exception as error:  # a graph that cannot be made is nowhere taken for the function
        raise Refused(words(error)) from error
    finally:
        torch.compiler.reset()
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))
    for one, other in zip(others, gradients, strict=True):
        assert_same(claim, sizes, one, other, largest=max(1.0, size_of(other)))


def exports(claim: Claim, kind: str) -> None:
    """`torch.export` gives a program that computes the same.

    Raises:
        Refused: There is no such program.
    """
    sizes = claim.fit(Sizes())
    tensors = claim.draw(sizes, torch.float32)
    call = _Call(claim, list(tensors), kind, sizes)
    with answering():
        want, _ = _run(call, tensors)
    try:
        program = torch.export.export(call, tuple(tensors.values()))
    except Exception as error:
        raise Refused(words(error)) from error
    actual = program.module()(*tensors.values())
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))


def _run(call: Callable[..., Tensor], tensors: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    inputs = [x.clone().requires_grad_() for x in tensors.values()]
    output = call(*inputs)
    output.sum().backward()
    return output.detach(), [x.grad for x in inputs if x.grad is not None]
