"""A segmented image as a picture: outlined parts, and what every attention gate lets through."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.tasks.base import device_of
from heedful.tasks.segment.masks import SegmentedImage, SegmentImages

OUTLINE = (255, 60, 40)
SMALLEST = 8  # cells a side below which a gate shows nothing that could be seen


def gate_picture(
    model: Any, data: SegmentImages, answer: SegmentedImage, *, title: str
) -> ImageAttention | None:
    """Return an image and the weights of the gates, the finest first; `None` without gates.

    Args:
        model: A `UNet`, in evaluation mode.
        data: Of this image alone.
        answer: What the model made of it.
        title: What the picture is of.
    """
    if not model.gates:
        return None
    weights: list[NDArray[np.float64]] = []

    def listen(gate: Any, given: Any) -> None:
        weights.append(gate.weights(*given)[0, 0].double().cpu().numpy())

    listening = [gate.register_forward_pre_hook(listen) for gate in model.gates]
    try:
        with torch.inference_mode():
            model(data.batch([0], device_of(model))[0])
    finally:
        for each in listening:
            each.remove()
    pixels = np.repeat(data.segments.pixels[0], 3 // data.segments.pixels.shape[3], axis=2)
    pixels[outline(answer.mask)] = OUTLINE
    maps = [_map(each) for each in reversed(weights) if min(each.shape) >= SMALLEST]
    return ImageAttention.of(pixels, maps, title=title)


def _map(weights: NDArray[np.float64]) -> AttentionMap:
    """Shares of what lies above the least: gates of places do not sum to one."""
    low, high = weights.min(), weights.max()
    above = weights - low if high > low else np.ones_like(weights)
    rows, columns = weights.shape
    word = f"the gate of {rows} x {columns} ({low:.2f} to {high:.2f})"
    return AttentionMap.of(above, word=word)


def outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of parts that touch something else at a side, or the border."""
    held = np.pad(mask, 1)
    beside = (held[:-2, 1:-1], held[2:, 1:-1], held[1:-1, :-2], held[1:-1, 2:])
    return (mask > 0) & np.any([each != mask for each in beside], axis=0)
