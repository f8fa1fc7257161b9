"""Where a classifier of images looked: its pooling, its cells, or the pixels that it weighs."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.data.image_attention import AttentionMap
from heedful.nn.vision import Cbam
from heedful.probing.probe import probe
from heedful.tasks.base import device_of
from heedful.tasks.classify_image.images import Images

if TYPE_CHECKING:
    from heedful.tasks.classify_image.task import ClassifyImage

CELLS = "look.attention"  # the self-attention of a convolutional network


def maps_of(
    task: "ClassifyImage", model: nn.Module, data: Images, label: str
) -> tuple[AttentionMap, ...]:
    """Return where a model looked in one image; nothing where it weighs no places.

    Args:
        task: Whose logits.
        model: In evaluation mode.
        data: Of one image.
        label: What it answered, for maps of the model as a whole.
    """
    names = {name for name, _ in model.named_modules()}
    if "pooling" in names:
        return (_whole(task.pooling_weights(model, data)[0], label),)
    batch = data.batch([0], device_of(model))
    if CELLS in names:
        with torch.inference_mode(), probe(model, sites=CELLS) as heard:
            task.logits(model, batch)
        return tuple(_places(heard.maps(CELLS)[0].mean(0)))
    weighing = [module for module in model.modules() if isinstance(module, Cbam)]
    if not weighing:
        return ()
    return (_whole(_weighed(task, model, weighing[-1], batch), label),)


def _whole(weights: Tensor, label: str) -> AttentionMap:
    """Weights of cells, line by line."""
    return AttentionMap.of(_grid(weights), word=label)


def _places(weights: Tensor) -> Sequence[AttentionMap]:
    """Where four of the cells looked, one in each quarter."""
    side = _side(weights)
    ends = sorted({side // 4, side - 1 - side // 4})
    return [
        AttentionMap.of(_grid(weights[row * side + column]), place=(row, column))
        for row, column in itertools.product(ends, repeat=2)
    ]


def _weighed(task: "ClassifyImage", model: nn.Module, module: Cbam, batch: Any) -> Tensor:
    """By what a module multiplies each pixel."""
    heard: list[Tensor] = []

    def listen(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        heard.append(module.weights(given[0]).pixels[0])

    hook = module.register_forward_pre_hook(listen)
    try:
        with torch.inference_mode():
            task.logits(model, batch)
    finally:
        hook.remove()
    return heard[0].flatten()


def _side(weights: Tensor) -> int:
    return round(len(weights) ** 0.5)


def _grid(weights: Tensor) -> NDArray[np.float32]:
    side = _side(weights)
    return weights.float().view(side, side).cpu().numpy()
