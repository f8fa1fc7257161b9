"""Block influence: how much each layer of a stack changes what goes through it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Heard = dict[str, list[tuple[float, int]]]


@torch.inference_mode()
def block_influence(
    model: nn.Module, layers: Sequence[str], runs: Sequence[Callable[[], Any]]
) -> dict[str, float]:
    """Return `1 - cos` of the angle between what goes into a layer and what comes out, on average.

    A layer that changes little is one that a model may do without. Padding counts as any position.

    Args:
        model: As it is.
        layers: Their names.
        runs: Each lets the model run once.

    Returns:
        Nothing of a layer that gives something of another shape than it is given, or that a run
        does not come by exactly once.

    Source:
        Men et al. 2024, arXiv:2403.03853 (ShortGPT), equation 1.

    Cost:
        The runs.
    """
    heard: Heard = {layer: [] for layer in layers}
    with ExitStack() as stack:
        for layer in layers:
            hook = partial(_note, heard[layer])
            handle = model.get_submodule(layer).register_forward_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        for number, run in enumerate(runs, 1):
            run()
            for layer in [layer for layer, seen in heard.items() if len(seen) != number]:
                del heard[layer]
    return {
        layer: sum(total for total, _ in seen) / max(1, sum(count for _, count in seen))
        for layer, seen in heard.items()
    }


def _note(
    seen: list[tuple[float, int]],
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    output: Any,
) -> None:
    given = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
    found = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(given, Tensor) or not isinstance(found, Tensor) or given.shape != found.shape:
        return
    alike = nn.functional.cosine_similarity(given.float(), found.float(), dim=-1)
    seen.append((float((1 - alike).sum()), alike.numel()))
