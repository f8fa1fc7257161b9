"""Heads removed from a translator by Torch-Pruning, as its users would."""

import math
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from _translator import attention_operations
from torch import nn
from torch.nn.functional import cross_entropy

from heedful.allocation.plan import unfused
from heedful.nn import Attention
from heedful.optimizing.problem import Problem


@contextmanager
def traceable(model: nn.Module) -> Generator[None]:
    """Show operations of torch alone, and no positions.

    Torch-Pruning 1.6 cannot follow how rotary positions take pairs of components apart and put them
    together (`sum(chs)` of an unknown size in its `update_concat_index_mapping`). They turn every
    head alike, so which parts go together does not depend on them.
    """
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    positions = [attention.positions for attention in attentions]
    before = os.environ.get("HEEDFUL_KERNELS")
    os.environ["HEEDFUL_KERNELS"] = "off"
    try:
        for attention in attentions:
            attention.positions = None
        yield
    finally:
        for attention, kept in zip(attentions, positions, strict=True):
            attention.positions = kept
        if before is None:
            del os.environ["HEEDFUL_KERNELS"]
        else:
            os.environ["HEEDFUL_KERNELS"] = before


def without_heads(
    pruning: Any, problem: Problem, ratio_removed: float, *, together: bool
) -> nn.Module:
    """A copy of the original from which Torch-Pruning has removed such a share of heads.

    With all sites ranked `together` it leaves a site whole where all of its heads would go.
    """
    model = unfused(problem.model)
    if problem.truth is None:
        raise SystemExit("the truth must be known for the gradients, got none")
    for batch in problem.calibration:
        cross_entropy(problem.outputs(model, batch), problem.truth(batch)).backward()
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    projected = [layer for x in attentions for layer in (x.query, x.key, x.value)]
    rest = [
        module
        for module in model.modules()
        if not list(module.children()) and not any(module is layer for layer in projected)
    ]
    source, lengths, target = (tensor[:2] for tensor in problem.calibration[0])

    def call(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        with traceable(model):
            return model(**inputs)

    pruner = pruning.pruner.BasePruner(
        model,
        {"source": source, "lengths": lengths, "target": target[:, :-1]},
        importance=pruning.importance.GroupTaylorImportance(),
        global_pruning=together,
        pruning_ratio=0.5,  # of no channel, but at 0 it looks at no head either
        head_pruning_ratio=ratio_removed,
        num_heads={layer: x.heads for x in attentions for layer in (x.query, x.key, x.value)},
        in_channel_groups={},  # its defaults are shared by all pruners
        out_channel_groups={},
        prune_num_heads=True,
        prune_head_dims=False,
        ignored_layers=rest,
        root_module_types=[nn.Linear],
        forward_fn=call,
    )
    for group in pruner.step(interactive=True):
        group.prune()
    for attention in attentions:
        attention.heads = attention.kv_heads = attention.query.out_features // attention.dim
    model.zero_grad()
    return model.eval()


def pruned(pruning: Any, problem: Problem, operations: float) -> tuple[nn.Module, str]:
    """The one with about as many operations, and what it became."""
    heads = [x.heads for x in problem.model.modules() if isinstance(x, Attention)]
    found: list[tuple[float, bool, nn.Module]] = []
    for together, present in ((True, sum(heads)), (False, min(heads))):
        for removed in range(1, present):
            # half a head less: it rounds to more that go
            ratio_removed = (removed - 0.5) / present
            model = without_heads(pruning, problem, ratio_removed, together=together)
            distance = abs(math.log(attention_operations(problem, model) / max(1.0, operations)))
            found.append((distance, together, model))
    _, together, model = min(found, key=lambda one: one[0])
    left = [f"{x.heads}" for x in model.modules() if isinstance(x, Attention)]
    how = "all sites ranked together" if together else "each site ranked alone"
    return model, f"heads left, site by site: {', '.join(left)}, {how}"
