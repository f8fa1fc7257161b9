"""Rules on gradients: they are the derivatives of the output."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from heedful.testing.claim import Claim, NotClaimed, Refused, answering, words
from heedful.testing.masks import Sizes
from heedful.testing.rules._rule import masked


def gradients(claim: Claim, kind: str, value_dim: int) -> None:
    """The gradient of every input is the quotient of differences, in float64.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.exact_gradients:
        raise NotClaimed("its gradient is not the derivative")
    _check(torch.autograd.gradcheck, claim, kind, value_dim)


def second_gradients(claim: Claim, kind: str, value_dim: int) -> None:
    """The gradient of the gradient is right as well, or refused where the claim says so.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.exact_gradients:
        raise NotClaimed("its gradient is not the derivative")
    try:
        _check(torch.autograd.gradgradcheck, claim, kind, value_dim)
    except Refused as refusal:
        if claim.twice_differentiable:
            raise
        raise NotClaimed("it has no second gradient") from refusal


def _check(check: Callable[..., bool], claim: Claim, kind: str, value_dim: int) -> None:
    sizes = claim.fit(Sizes(heads=2, kv_heads=1, queries=3, keys=4, dim=3, value_dim=value_dim))
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    inputs = [x.requires_grad_() for x in tensors.values()]

    def attend(*values: Tensor) -> Tensor:
        return claim.attend(dict(zip(tensors, values, strict=True)), mask)

    with answering():
        try:
            check(attend, inputs)
        except GradcheckError as error:
            raise AssertionError(words(error)) from error
