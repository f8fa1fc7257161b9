"""Rules on masks: what is hidden does not exist."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from heedful.errors import UnsupportedError
from heedful.mask import Mask
from heedful.testing.claim import Claim, NotClaimed, Refused
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.rules._rule import assert_same, backward, masked, size_of, table


def hidden_keys_cannot_matter(claim: Claim, kind: str) -> None:
    """Whatever stands at a hidden key or value, not one bit of the output changes."""
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    before = claim.attend(tensors, mask)
    visible = table(sees, sizes).any(1)  # a key is hidden when no head sees it
    alone = range(sizes.queries) if claim.independent_queries else [slice(None)]
    for i in alone:
        seen = visible[:, i] if isinstance(i, int) else visible.any(1)
        where = ~seen[:, None, :, None]
        changed = dict(tensors)
        changed["key"] = tensors["key"].masked_fill(where, 100.0)
        changed["value"] = tensors["value"].masked_fill(where, -1e6)
        after = claim.attend(changed, mask)
        assert torch.equal(after[:, :, i], before[:, :, i]), f"a hidden key changes query {i}"


def hidden_numbers_cannot_matter(claim: Claim, kind: str, number: float) -> None:
    """A hidden key or value that is no number changes neither the output nor a gradient.

    It is nowhere what a model computes, but stands in a cache that was never written, or in padding
    whose features are missing.
    """
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    visible = table(sees, sizes).any(1)
    alone = range(sizes.queries) if claim.independent_queries else [slice(None)]
    for i in alone:
        seen = visible[:, i] if isinstance(i, int) else visible.any(1)
        where = ~seen[:, None, :, None]
        before, gradient = _answer(claim, tensors, mask, i)
        changed = dict(tensors)
        for name in ("key", "value"):
            changed[name] = tensors[name].masked_fill(where, number)
        after, other = _answer(claim, changed, mask, i)
        assert torch.equal(after, before), f"{number} at a hidden key changes query {i}"
        if gradient is not None and other is not None:
            # the gradient of what is seen, by another order of the same sums
            assert other.isfinite().all(), f"{number} at a hidden key reaches the gradient of {i}"
            assert_same(claim, sizes, other, gradient, largest=max(1.0, size_of(gradient)))


def _answer(
    claim: Claim, tensors: Mapping[str, Tensor], mask: Mask | None, rows: int | slice
) -> tuple[Tensor, Tensor | None]:
    """The output of some queries and, where there is one, its gradient by them."""
    leaves = {name: x.clone().requires_grad_() for name, x in tensors.items()}
    output = claim.attend(leaves, mask)[:, :, rows]
    if output.requires_grad:
        backward(output)
    gradient = leaves["query"].grad
    return output.detach(), None if gradient is None else gradient[:, :, rows]


def hidden_keys_get_no_gradient(claim: Claim, kind: str) -> None:
    """A key that nobody sees has gradient 0, and so has its value."""
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors = {name: x.requires_grad_() for name, x in claim.draw(sizes).items()}
    backward(claim.attend(tensors, mask))
    hidden = ~table(sees, sizes).any(2).any(1)
    for name in ("key", "value"):
        gradient = tensors[name].grad
        if gradient is not None:
            lost = gradient.masked_select(hidden[:, None, :, None])
            assert (lost == 0).all(), f"a hidden {name} has a gradient"


def empty_rows(claim: Claim, dtype: torch.dtype, value_dim: int) -> None:
    """A query that sees nothing gives 0 and gets gradient 0, never NaN."""
    sizes = claim.fit(Sizes(value_dim=value_dim))
    mask, _ = masked(claim, "empty_text", sizes)  # row 0 sees nothing, row 1 does
    tensors = {name: x.requires_grad_() for name, x in claim.draw(sizes, dtype).items()}
    output = claim.attend(tensors, mask)
    assert (output[0] == 0).all(), f"it gives {output[0].flatten()[0].item()}"
    assert output[1].abs().max() > 0, "a query that sees something gives 0"
    backward(output)
    for name in ("query", "key", "value"):
        gradient = tensors[name].grad
        assert gradient is None or (gradient[0] == 0).all(), f"{name} has a gradient"
    for name, x in tensors.items():
        finite = x.grad is None or x.grad.isfinite().all()
        assert finite, f"the gradient of {name} is not finite"
    if claim.weights is not None:
        assert (claim.weigh(tensors, mask)[0] == 0).all(), "a query that sees nothing has weights"


def other_masks_are_refused(claim: Claim) -> None:
    """A mask that it cannot honour is refused with `UnsupportedError`, not ignored.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    others = [kind for kind in MASKS if kind not in claim.masks]
    if not others:
        raise NotClaimed("it takes every mask")
    sizes = claim.fit(Sizes())
    for kind in others:
        mask, _ = MASKS[kind](sizes)
        _expect_refusal(lambda m=mask: claim.attend(claim.draw(sizes), m), kind)
        if claim.weights is not None:
            _expect_refusal(lambda m=mask: claim.weigh(claim.draw(sizes), m), kind)


def _expect_refusal(call: Callable[[], object], kind: str) -> None:
    try:
        call()
    except (Refused, AssertionError) as error:
        if not isinstance(error.__cause__, UnsupportedError):
            raise AssertionError(f"a {kind} mask must raise UnsupportedError, {error}") from error
    else:
        raise AssertionError(f"a {kind} mask was ignored")
