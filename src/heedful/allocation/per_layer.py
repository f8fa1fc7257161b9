"""What a plan changed, as `per_layer_config` of transformers says it, and what it cannot say."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from heedful.allocation.sites import find_sites
from heedful.allocation.stacks import places_without, within
from heedful.allocation.stock import why_not_stock

LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")  # the number of a layer in the name of a site


def in_words_of_transformers(
    original: nn.Module, model: nn.Module, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """Return both as plain data; of transformers 5.23 few classes build their layers by it.

    Args:
        original: Of transformers, before the plan.
        model: After it; plain or not.
        dropped: The layers that were left out; the others are counted without gaps.

    Returns:
        `per_layer_config`, where each layer has one site, and `cannot_say`: why no plain checkpoint
        can be what the model is; `None` where one can.
    """
    found: dict[str, dict[str, Any]] = {}
    layers: list[str] = []
    place = places_without(original, dropped)
    sites = [site for site in find_sites(original)[0] if not within(dropped, site.name)]
    gaps = all(site.is_in(model) for site in sites)
    for site in sites:
        number = LAYER.search(place(site.name))
        there = site if gaps else replace(site, name=place(site.name))
        before, after = site.read(original).geometry, there.read(model).geometry
        if number is None:
            continue
        layers.append(number[1])
        if not after.heads:
            found[number[1]] = {"skip": ["attention"]}
        elif after != before:
            said = {
                "num_attention_heads": (before.heads, after.heads),
                "num_key_value_heads": (before.kv_heads, after.kv_heads),
                "head_dim": (before.dim, after.dim),
            }
            found[number[1]] = {key: new for key, (old, new) in said.items() if old != new}
    alone = len(layers) == len(set(layers))
    return {
        "per_layer_config": {key: value for key, value in found.items() if value} if alone else {},
        "cannot_say": why_not_stock(model),
    }
