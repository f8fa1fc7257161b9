"""Token merging: the most similar tokens of a text become one, and attention remembers how many.

```python
matching = match_tokens(keys, merged=8, size=size)  # keys: the mean over the heads
x, size = matching.merge(x, size)
bias, mask = proportional(size)
mixed = scaled_dot_attention(query, key, value, bias=bias, mask=mask)
```
"""

from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask


@final
class Matching(NamedTuple):
    """Which tokens become one.

    Args:
        kept: Tokens that stay, in the order of the text.
        gone: Tokens that are merged into others.
        into: Into which of the kept ones each of them goes, as a place in `kept`.
    """

    kept: Int[Tensor, "batch kept"]
    gone: Int[Tensor, "batch gone"]
    into: Int[Tensor, "batch gone"]

    def merge(
        self, tokens: Float[Tensor, "batch length width"], size: Float[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch kept width"], Float[Tensor, "batch kept"]]:
        """The kept tokens, each the mean of all that it now stands for, and their sizes.

        Means are computed in float32 at least, and sizes stay in it, since half precision counts
        to 256 only.

        Args:
            tokens: One vector per token.
            size: For how many tokens of the text each one stands; 0 is padding, and weighs nothing.

        Raises:
            ShapeError: The tokens or their sizes are not those that were matched.
        """
        batch, length = self.kept.shape[0], self.kept.shape[1] + self.gone.shape[1]
        if tokens.ndim != 3 or tokens.shape[:2] != (batch, length):
            raise ShapeError(
                f"tokens must have shape ({batch=}, {length=}, width), got {tuple(tokens.shape)}"
            )
        _check_size(size, batch, length)
        size, wide = _widen(size), _widen(tokens)
        stays, joins = _rows(wide, self.kept), _rows(wide, self.gone)
        weight = size.gather(1, self.gone)
        merged = size.gather(1, self.kept).scatter_add(1, self.into, weight)
        share = weight / merged.gather(1, self.into).clamp(min=torch.finfo(size.dtype).tiny)
        alone = (size.gather(1, self.kept) == 0) & (merged > 0)  # what joins padding replaces it
        stays = stays.masked_fill(alone[..., None], 0.0)
        # Differences, so that a token that nothing joins keeps its bits, and equal ones stay equal.
        moved = (joins - _rows(stays, self.into)).masked_fill((weight == 0)[..., None], 0.0)
        places = self.into[..., None].expand_as(moved)
        means = stays.scatter_add(1, places, moved * share[..., None].to(moved.dtype))
        return means.to(tokens.dtype), merged

    def unmerge(
        self, tokens: Float[Tensor, "batch kept width"]
    ) -> Float[Tensor, "batch length width"]:
        """One vector for every token again: that of the kept one which stands for it.

        Args:
            tokens: One vector per kept token.

        Raises:
            ShapeError: There are not as many tokens as were kept.
        """
        batch, kept = self.kept.shape
        if tokens.ndim != 3 or tokens.shape[:2] != (batch, kept):
            raise ShapeError(
                f"tokens must have shape ({batch=}, {kept=}, width), got {tuple(tokens.shape)}"
            )
        order = torch.cat([self.kept, self.gone], 1)
        stays = torch.arange(kept, device=tokens.device).expand(batch, -1)
        place = torch.empty_like(order).scatter(1, order, torch.cat([stays, self.into], 1))
        return _rows(tokens, place)


def match_tokens(
    key: Float[Tensor, "batch length width"],
    *,
    merged: int,
    size: Float[Tensor, "batch length"] | None = None,
    protected: int = 0,
) -> Matching:
    """Choose the `merged` pairs of tokens whose keys point in the most similar directions.

    Every other token proposes to the most similar of those between them; the best proposals become
    pairs, and several may name the same token. So one step costs no search, and at most half the
    tokens go. Padding goes first, and weighs nothing; only a row with a single token may see that
    take the place of padding. Unlike in the paper the kept tokens stay in the order of the text.

    Args:
        key: What is compared, by the angle between; e.g. the keys of attention, averaged over the
            heads.
        merged: Tokens that go, in every row of the batch.
        size: 0 is padding. `None`: there is none.
        protected: So many first tokens are left alone, e.g. one that stands for the whole text.

    Returns:
        Which tokens go, and into which; no gradient flows through the choice.

    Raises:
        ShapeError: `key` is not 3-D, or `size` does not fit it.
        ConfigError: `merged` or `protected` is negative, or `merged` is more than half of the
            tokens that are not protected.

    Source:
        Bolya et al. 2022, arXiv:2210.09461, section 3.

    Cost:
        A quarter of all pairs of tokens are compared, once for all heads.
    """
    if key.ndim != 3:
        raise ShapeError(f"key must be 3-D (batch, length, width), got {tuple(key.shape)}")
    batch, length, _ = key.shape
    if size is not None:
        _check_size(size, batch, length)
    if protected < 0:
        raise ConfigError(f"protected must not be negative, got {protected}")
    most = (length - protected) // 2
    if not 0 <= merged <= max(0, most):
        raise ConfigError(
            f"merged must be from 0 to {max(0, most)} with {length=} and {protected=}, got {merged}"
        )
    proposing, asked = _sides(batch, length, size, protected, key.device)
    best, partner = _propose(key.detach(), size, proposing, asked)
    chosen = best.argsort(dim=1, descending=True, stable=True)[:, :merged]
    gone = proposing.gather(1, chosen)
    target = asked.gather(1, partner.gather(1, chosen))
    stays = torch.ones(batch, length, dtype=torch.bool, device=key.device).scatter(1, gone, False)
    kept = stays.int().argsort(dim=1, descending=True, stable=True)[:, : length - merged]
    return Matching(kept, gone, (stays.cumsum(1) - 1).gather(1, target))


class Proportional(NamedTuple):
    """What attention to merged tokens takes.

    Args:
        bias: `log(size)`, added to the scores.
        mask: Hides padding.
    """

    bias: Float[Tensor, "batch 1 1 keys"]
    mask: Mask


def proportional(size: Float[Tensor, "batch keys"]) -> Proportional:
    """Let a key count as often as it stands for tokens: `softmax(scores + log(size))`.

    So attention to a merged key is attention to as many equal keys.

    Args:
        size: For how many tokens of the text each key stands; 0 is padding.

    Raises:
        ShapeError: `size` is not 2-D.

    Source:
        Bolya et al. 2022, arXiv:2210.09461, section 3.
    """
    if size.ndim != 2:
        raise ShapeError(f"size must be 2-D (batch, keys), got {tuple(size.shape)}")
    there = size > 0
    bias = torch.where(there, size, 1.0).log()
    return Proportional(bias[:, None, None], Mask.dense(there[:, None, None]))


def _sides(
    batch: int, length: int, size: Tensor | None, protected: int, device: torch.device
) -> tuple[Int[Tensor, "batch proposing"], Int[Tensor, "batch asked"]]:
    """Every other token, and those between them; padding last, so that no real one lacks a side."""
    order = torch.arange(length, device=device).expand(batch, -1)
    if size is not None:
        order = ((size == 0) & (order >= protected)).int().argsort(dim=1, stable=True)
    return order[:, protected::2], order[:, protected + 1 :: 2]


def _propose(
    key: Tensor, size: Tensor | None, proposing: Tensor, asked: Tensor
) -> tuple[Float[Tensor, "batch proposing"], Int[Tensor, "batch proposing"]]:
    """How similar the best partner of every token is, and which it is."""
    if not asked.shape[1]:
        nobody = proposing[:, :0]
        return nobody.to(key.dtype), nobody
    wide = _widen(key)
    if size is not None:
        wide = wide.masked_fill((size == 0)[..., None], 0.0)  # whatever stands there
    way = normalize(wide, dim=-1)
    similar = _rows(way, proposing) @ _rows(way, asked).mT
    if size is None:
        return similar.max(-1)
    padded = size == 0
    similar = similar.masked_fill(padded.gather(1, asked)[:, None], -torch.inf)
    best, partner = similar.max(-1)
    return best.masked_fill(padded.gather(1, proposing), torch.inf), partner


def _widen(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _rows(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


def _check_size(size: Tensor, batch: int, length: int) -> None:
    if tuple(size.shape) != (batch, length):
        raise ShapeError(f"size must have shape ({batch=}, {length=}), got {tuple(size.shape)}")
