"""What was found as a picture: boxes, and where the queries looked that found the surest."""

from typing import Any

import numpy as np
import torch

from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.probing.probe import probe
from heedful.tasks.base import device_of
from heedful.tasks.detect.images import BoxedImages, Detection

FRAME = (255, 60, 40)
SHOWN = 4  # boxes whose queries are shown


def box_picture(
    model: Any, data: BoxedImages, answer: Detection, *, title: str
) -> ImageAttention | None:
    """Return an image with the boxes that are sure enough; `None` without a decoder.

    Args:
        model: A `Detector`, in evaluation mode.
        data: Of this image alone.
        answer: What the model found in it.
        title: What the picture is of.
    """
    if not model.decoder:
        return None
    site = f"decoder.{len(model.decoder) - 1}.cross_attention"
    with torch.inference_mode(), probe(model, sites=site) as heard:
        model(data.batch([0], device_of(model))[0])
    weights = heard.maps(site)[0].mean(0).double().cpu().numpy()
    pixels = np.repeat(data.pixels[0], 3 // data.pixels.shape[3], axis=2)
    height, width = pixels.shape[:2]
    rows = -(-height // model.stride)
    maps: list[AttentionMap] = []
    for box in answer.sure[:SHOWN]:
        cells = weights[box.query].reshape(rows, -1)
        maps.append(AttentionMap.of(cells, word=f"{box.label} ({box.score:.0%})"))
    scale = height / data.originals[0][0], width / data.originals[0][1]
    for box in answer.sure:
        _frame(
            pixels, box.x * scale[1], box.y * scale[0], box.width * scale[1], box.height * scale[0]
        )
    return ImageAttention.of(pixels, maps, title=title)


def _frame(pixels: Any, x: float, y: float, width: float, height: float) -> None:
    """Draw a box around what is in it."""
    lines, columns = pixels.shape[:2]
    left, right = (int(np.clip(round(end), 0, columns - 1)) for end in (x, x + width - 1))
    upper, lower = (int(np.clip(round(end), 0, lines - 1)) for end in (y, y + height - 1))
    pixels[upper : lower + 1, [left, right]] = FRAME
    pixels[[upper, lower], left : right + 1] = FRAME
