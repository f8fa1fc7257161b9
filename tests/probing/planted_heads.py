"""Heads of which everybody knows what they do, as a captured call."""

import torch

from heedful.probing.call import ProbedCall
from heedful.probing.weights import Masking, ScaledDotWeights

KEYS = 8
NAMES = ("no-op", "broadcast", "uniform", "one-hot", "mixed")


def planted_call(*, batch=4, sink=0, seed=0, order=None, **masking):
    """Five heads over eight keys: key `j` is the j-th direction, and queries ask for some of them.

    Args:
        batch: Texts.
        sink: The key that heads sink to.
        seed: Of the values.
        order: Another order of the keys.
        masking: As in `Masking`.
    """
    draw = torch.Generator().manual_seed(seed)
    asked = torch.zeros(len(NAMES), KEYS, KEYS)
    asked[0, :, sink] = asked[1, :, sink] = 30.0
    asked[3] = 30.0 * torch.eye(KEYS)
    asked[4] = 30.0 * torch.eye(KEYS)
    asked[4, : KEYS // 2] = 0.0
    asked[4, : KEYS // 2, sink] = 30.0
    value = torch.randn(batch, len(NAMES), KEYS, 6, generator=draw)
    value[:, 0, sink] *= 0.01
    value[:, 1, sink] *= 10.0
    key = torch.eye(KEYS).expand(batch, len(NAMES), KEYS, KEYS)
    if order is not None:
        key, value = key[:, :, order], value[:, :, order]
    weights = ScaledDotWeights(
        batch=batch,
        heads=tuple(range(len(NAMES))),
        kv_heads=tuple(range(len(NAMES))),
        rows=torch.arange(KEYS),
        queries=KEYS,
        keys=KEYS,
        query=asked.expand(batch, *asked.shape).contiguous(),
        key=key.contiguous(),
        scale=1.0,
        masking=Masking(**masking),
    )
    return call_of(weights, value)


def random_call(*, batch=5, queries=5, keys=7, scale=1.0, seed=0, **masking):
    """Three heads that share two of keys and values."""
    draw = torch.Generator().manual_seed(seed)
    weights = ScaledDotWeights(
        batch=batch,
        heads=(0, 1, 2),
        kv_heads=(0, 0, 1),
        rows=torch.arange(queries),
        queries=queries,
        keys=keys,
        query=torch.randn(batch, 3, queries, 4, generator=draw),
        key=torch.randn(batch, 2, keys, 4, generator=draw),
        scale=scale,
        masking=Masking(**masking),
    )
    return call_of(weights, torch.randn(batch, 2, keys, 6, generator=draw))


def call_of(weights, value):
    """The call, of which nobody asks for the output."""
    shown = tuple(range(len(weights.heads)))
    return ProbedCall(weights=weights, shown=shown, value=value, output=value, compared="nothing")
