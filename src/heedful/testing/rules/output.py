"""Rules on results: what the oracle says, in every dtype, however it is asked."""

import inspect

import torch

from heedful.testing.claim import Claim, NotClaimed
from heedful.testing.masks import Sizes
from heedful.testing.rules._rule import SIZES, assert_same, backward, masked, size_of, table
from heedful.testing.tolerance import assert_close


def matches_oracle(claim: Claim, sizes: str, kind: str, dtype: torch.dtype) -> None:
    """Output and weights are those of the oracle, in the dtype of the query."""
    fitted = claim.fit(SIZES[sizes])
    tensors = claim.draw(fitted, dtype)
    mask, sees = masked(claim, kind, fitted)
    actual = claim.attend(tensors, mask)
    arrays = {name: x.double().numpy() for name, x in tensors.items()}
    weights, output = (
        torch.from_numpy(x) for x in claim.oracle(**arrays, sees=sees, **claim.settings)
    )
    limit = claim.limit(fitted, dtype)
    assert actual.dtype == dtype, f"the output has dtype {actual.dtype}"
    largest = max(size_of(tensors["value"]), size_of(output))
    assert_close(actual, output, roundings=limit, largest=largest)
    if claim.weights is not None:
        actual = claim.weigh(tensors, mask)
        assert actual.dtype == dtype, f"the weights have dtype {actual.dtype}"
        assert_close(actual, weights, roundings=limit, largest=max(1.0, size_of(weights)))


def weights_make_the_output(claim: Claim, kind: str) -> None:
    """The weights times the values are the output."""
    sizes = claim.fit(Sizes())
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    product = claim.weigh(tensors, mask) @ tensors["value"]
    actual = claim.attend(tensors, mask)
    assert_same(claim, sizes, actual, product, largest=size_of(tensors["value"]))


def weights_sum_to_one(claim: Claim, kind: str) -> None:
    """Hidden keys have weight 0; the others share 1, where the claim says so."""
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    weights = claim.weigh(claim.draw(sizes), mask)
    visible = table(sees, sizes)
    assert (weights[~visible] == 0).all(), "a hidden key has a weight"
    if claim.positive:
        assert (weights >= 0).all(), "a weight is negative"
    if claim.normalised:
        limit = claim.limit(sizes, weights.dtype)
        assert_close(weights.sum(-1), visible.any(-1), roundings=limit, largest=1.0)


def large_scores(claim: Claim, dtype: torch.dtype) -> None:
    """Scores beyond what the exponential can take still give finite results."""
    sizes = claim.fit(Sizes())
    kind = "lengths" if "lengths" in claim.masks else "none"
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes, dtype)
    largest = 2e3 if dtype == torch.float16 else 1e4
    tensors["query"] = tensors["query"] * largest
    for x in tensors.values():
        x.requires_grad_()
    output = claim.attend(tensors, mask)
    assert output.isfinite().all(), "the output is not finite"
    backward(output)
    for name in ("query", "key", "value"):
        gradient = tensors[name].grad
        assert gradient is None or gradient.isfinite().all(), f"the gradient of {name} is not"
    if claim.positive and claim.normalised:
        limit = claim.limit(sizes, dtype) * torch.finfo(dtype).eps
        assert size_of(output) <= size_of(tensors["value"]) * (1 + limit), "larger than any value"


def deterministic(claim: Claim, kind: str) -> None:
    """The same call gives the same bits, forward and backward."""
    sizes = claim.fit(Sizes())
    mask, _ = masked(claim, kind, sizes)

    def once() -> list[torch.Tensor]:
        tensors = {name: x.requires_grad_() for name, x in claim.draw(sizes, torch.float32).items()}
        output = claim.attend(tensors, mask)
        backward(output)
        return [output, *(x.grad for x in tensors.values() if x.grad is not None)]

    for first, second in zip(once(), once(), strict=True):
        assert torch.equal(first, second), "two equal calls differ"


def inputs_unchanged(claim: Claim, kind: str) -> None:
    """What is given is not written to."""
    sizes = claim.fit(Sizes())
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    copies = {name: x.clone() for name, x in tensors.items()}
    claim.attend(tensors, mask)
    for name, copy in copies.items():
        assert torch.equal(tensors[name], copy), f"{name} was changed"


def no_dropout(claim: Claim) -> None:
    """A dropout of 0 changes nothing.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    parameters = inspect.signature(claim.attention).parameters
    names = [name for name in ("dropout", "dropout_p") if name in parameters]
    if not names:
        raise NotClaimed("it has no dropout")
    sizes = claim.fit(Sizes())
    tensors = claim.draw(sizes)
    mask, _ = masked(claim, "none", sizes)
    given = claim.attend({**tensors, names[0]: 0.0}, mask)  # pyright: ignore[reportArgumentType]
    want = claim.attend(tensors, mask)
    assert_same(claim, sizes, given, want, largest=size_of(tensors["value"]))
