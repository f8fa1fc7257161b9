"""Rules on order: rows, heads, keys and pieces that must not matter to each other."""

from dataclasses import replace

import torch

from heedful.mask import Mask
from heedful.testing.claim import Claim, NotClaimed
from heedful.testing.masks import Sizes
from heedful.testing.rules._rule import assert_same, masked, size_of, table


def batch_rows_do_not_meet(claim: Claim, kind: str) -> None:
    """Choosing rows before is choosing rows after."""
    sizes = claim.fit(Sizes())
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    order = torch.tensor([1, 0, 1])
    chosen = claim.permute(tensors, "batch", order)
    actual = claim.attend(chosen, None if mask is None else mask.select(order))
    want = claim.attend(tensors, mask)[order]
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))


def heads_do_not_meet(claim: Claim, kind: str) -> None:
    """Permuted heads give permuted outputs.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.independent_heads:
        raise NotClaimed("its heads talk to each other")
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    order = torch.tensor([2, 0, 3, 1])
    permuted = claim.permute(claim.permute(tensors, "heads", order), "kv_heads", order)
    visible = table(sees, sizes)
    by_head = Mask.dense(visible[:, order])
    turned = mask if (visible == visible[:, :1]).all() else by_head
    actual = claim.attend(permuted, turned)
    want = claim.attend(tensors, mask)[:, order]
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))


def order_of_keys_does_not_matter(claim: Claim, kind: str) -> None:
    """Keys are a set: in another order, with their values and masks, they give the same.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.permutation_invariant:
        raise NotClaimed("it looks at the neighbours of a key")
    if "dense" not in claim.masks:
        raise NotClaimed("it does not take a dense mask")
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    permuted = claim.permute(tensors, "keys", order)
    actual = claim.attend(permuted, Mask.dense(table(sees, sizes)[..., order]))
    want = claim.attend(tensors, mask)
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))


def pieces_are_the_whole(claim: Claim, kind: str, first: int) -> None:
    """Queries asked in two pieces get the answers that they get together.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.independent_queries or claim.one_query or claim.square:
        raise NotClaimed("its queries must come together")
    if "dense" not in claim.masks:
        raise NotClaimed("it does not take a dense mask")
    sizes = claim.fit(Sizes())
    mask, sees = masked(claim, kind, sizes)
    tensors, visible = claim.draw(sizes), table(sees, sizes)
    pieces: list[torch.Tensor] = []
    for rows in (torch.arange(first), torch.arange(first, sizes.queries)):
        piece = claim.permute(tensors, "queries", rows)
        pieces.append(claim.attend(piece, Mask.dense(visible[:, :, rows])))
    want = claim.attend(tensors, mask)
    assert_same(claim, sizes, torch.cat(pieces, 2), want, largest=size_of(tensors["value"]))


def decoding_is_the_whole(claim: Claim, kind: str) -> None:
    """One query at a time with the keys so far gives the rows of one causal pass.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if claim.square or claim.one_query:
        raise NotClaimed("its queries must come together")
    if not claim.decodes:
        raise NotClaimed("what it does depends on how many keys there are")
    sizes = claim.fit(replace(Sizes(), queries=7))
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    want = claim.attend(tensors, mask)
    largest = size_of(tensors["value"])
    for i in range(sizes.queries):
        step = claim.permute(tensors, "queries", torch.tensor([i]))
        step = claim.permute(step, "keys", torch.arange(i + 1))
        assert_same(claim, sizes, claim.attend(step, mask), want[:, :, i : i + 1], largest=largest)


def grouped_heads_are_repeated_heads(claim: Claim, kind: str) -> None:
    """Query heads that share a key/value head see what they would see with a copy each.

    Raises:
        NotClaimed: The claim leaves it out.
    """
    if not claim.grouped:
        raise NotClaimed("it has as many key/value heads as heads")
    sizes = claim.fit(Sizes(kv_heads=2))
    mask, _ = masked(claim, kind, sizes)
    grouped = claim.draw(sizes)
    repeated = dict(grouped)
    for name in ("key", "value"):
        repeated[name] = grouped[name][:, [0, 0, 1, 1]]
    actual, want = claim.attend(grouped, mask), claim.attend(repeated, mask)
    assert_same(claim, sizes, actual, want, largest=size_of(grouped["value"]))


def memory_layout_does_not_matter(claim: Claim, kind: str) -> None:
    """Tensors with gaps and other strides give the same."""
    sizes = claim.fit(Sizes(kv_heads=2, value_dim=3))
    mask, _ = masked(claim, kind, sizes)
    tensors = claim.draw(sizes)
    strided = {name: _strided(x) for name, x in tensors.items()}
    assert not strided["key"].is_contiguous()
    actual, want = claim.attend(strided, mask), claim.attend(tensors, mask)
    assert_same(claim, sizes, actual, want, largest=size_of(tensors["value"]))


def _strided(x: torch.Tensor) -> torch.Tensor:
    """Equal values in another layout, with gaps."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), float("nan"))
    wide = wide.transpose(0, 1).contiguous().transpose(0, 1) if x.ndim > 1 else wide
    view = wide[..., ::2]
    view.copy_(x)
    return view
