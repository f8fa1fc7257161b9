"""What is left of an attention module without heads: one vector, given as the module gave its."""

import copy
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_layers import fill, matrix
from heedful.allocation.adapters._transformers_sites import CACHES, Dropped
from heedful.allocation.adapters.heedful import settled
from heedful.allocation.adapters.structure.scratch import scratch
from heedful.allocation.adapters.structure.sizes import CLOSE, apart, cases_of, run
from heedful.allocation.adapters.structure.structure import Structure
from heedful.errors import UnsupportedError

CLOSED = "heedful_dropped"  # marks a site whose inner module was dropped


def drop(site: nn.Module, found: Structure, vector: Tensor) -> nn.Module:
    """Return the module that gives this vector, as the site would have given its own."""
    core: Any = site.get_submodule(found.core)
    out = site.get_submodule(found.out.path)
    new = Dropped(len(vector), _layer(site, core), beside=found.beside)
    new.vector.data = vector
    settled(new, core, cast(Tensor, out.weight))
    if not found.core:
        return new
    site.set_submodule(found.core, new)
    site.set_submodule(found.out.path, nn.Identity().train(out.training))
    setattr(site, CLOSED, True)
    return site


def check_dropped(module: nn.Module, found: Structure) -> bool:
    """Raise unless a vector can stand in the place of all heads; return that it can.

    Raises:
        UnsupportedError: It would change more than what the heads gave.
    """
    core = module.get_submodule(found.core)
    if _layer(module, core) is None and not set(CACHES).isdisjoint(
        signature(core.forward).parameters
    ):
        raise UnsupportedError("nobody knows which layer of a cache is its own")
    silent = scratch(module)
    out = silent.get_submodule(found.out.path)
    weight, bias = matrix(out)
    vector = weight[:, 0].clone() if bias is None else bias
    fill(out, torch.zeros_like(weight), vector)
    dropped = drop(copy.deepcopy(silent), found, vector)
    cases = list(cases_of(found, ("eager", "sdpa")))
    wanted = [(case, want) for case in cases if (want := run(silent, case)) is not None]
    if not wanted or any(apart(run(dropped, case), want) > CLOSE for case, want in wanted):
        raise UnsupportedError("what it does besides attention would go with its heads")
    return True


def _layer(site: nn.Module, core: nn.Module) -> int | None:
    """Which layer of a cache is that of a site."""
    named = (getattr(x, name, None) for x in (core, site) for name in ("layer_idx", "layer_id"))
    return next((x for x in named if isinstance(x, int)), None)
