"""What stands in the place of attention, called as a decoder calls it."""

import pytest
import torch

from heedful.mask import Mask
from heedful.nn import KeyValueCache


@pytest.fixture
def in_steps():
    """Parts of a text one after the other, and all of it at once: `in_steps(module, x, ...)`."""

    def in_steps(module, x, parts, hidden, cache):
        def mask(stop):
            if hidden is None:
                return Mask.causal()
            return Mask.causal() & Mask.dense(torch.tensor(hidden[:stop]).bool()[None])

        with torch.no_grad():
            stops = torch.tensor(parts).cumsum(0).tolist()
            pieces = zip(x.split(parts, 1), stops, strict=True)
            steps = [module(part, mask=mask(stop), cache=cache) for part, stop in pieces]
            return torch.cat(steps, 1), module(x, mask=mask(x.shape[1]))

    return in_steps


@pytest.fixture
def last_of():
    """The last position of chosen rows: by a cache of which they were chosen, and at once."""

    def last_of(rows, module, x):
        cache = KeyValueCache()
        with torch.no_grad():
            module(x[:, :-1], mask=Mask.causal(), cache=cache)
            cache.select(rows)
            last = module(x[rows, -1:], mask=Mask.causal(), cache=cache)
            return last, module(x, mask=Mask.causal())[rows, -1:]

    return last_of
