"""Which query finds which thing, and what a detection learns from."""

import importlib
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from heedful.errors import MissingExtraError
from heedful.metrics.rows import UNKNOWN
from heedful.models.detector import Detected
from heedful.tasks.base import Rows

SIDES, OVERLAP, LABEL = 5.0, 2.0, 1.0  # weights of distance, overlap and label, as in the paper


def match(
    logits: Float[Tensor, "queries labels"],
    boxes: Float[Tensor, "queries four"],
    labels: Int[Tensor, " things"],
    truth: Float[Tensor, "things four"],
) -> tuple[Tensor, Tensor]:
    """Return queries and the things that they are to find, each once, at the least cost.

    The cost of a pair is `5 |b - t| - 2 giou(b, t) - p(label)`, with boxes in shares of the image.

    Args:
        logits: Of one image; the last one is of no thing.
        boxes: Centre, width, height.
        labels: Of the things.
        truth: Their boxes.

    Raises:
        MissingExtraError: The extra `images` is not installed.

    Source:
        Carion et al. 2020, arXiv:2005.12872, section 3.1, equation 1 (the matching), with the costs
        of section 3.1, "Bounding box loss".
    """
    if not len(labels):
        none = torch.zeros(0, dtype=torch.int64, device=logits.device)
        return none, none
    with torch.no_grad():
        shares = logits.float().softmax(-1)[:, labels]
        cost = SIDES * torch.cdist(boxes.float(), truth, p=1)
        cost = cost - OVERLAP * generalised_overlaps(boxes.float(), truth) - LABEL * shares
    queries, things = _optimize().linear_sum_assignment(cost.cpu().numpy())
    pair = (torch.from_numpy(each).to(logits.device) for each in (queries, things))
    first, second = pair
    return first, second


def detection_loss(
    said: Detected,
    labels: Int[Tensor, "batch most"],
    truth: Float[Tensor, "batch most four"],
    *,
    nothing: float,
) -> Float[Tensor, " batch"]:
    """Return the loss of each image, a mean over decoder layers.

    Of a layer it is the weighted cross-entropy of queries and, for each thing,
    `5 |b - t| + 2 (1 - giou)`, all for each thing that is found. Unlike in the paper's code the
    cross-entropy is no mean over queries: labels are learned much sooner, as with focal losses.

    Args:
        said: Of the network.
        labels: Of the things of each image, -1 behind the last one.
        truth: Their boxes.
        nothing: The weight of queries that are to find nothing.

    Source:
        Carion et al. 2020, arXiv:2005.12872, section 3.1, equation 2 and "Bounding box loss", and
        section 3.2, "Auxiliary decoding losses".
    """
    layers, batch = said.logits.shape[:2]
    losses = [
        _loss(said.logits[layer, row], said.boxes[layer, row], labels[row], truth[row], nothing)
        for row in range(batch)
        for layer in range(layers)
    ]
    return torch.stack(losses).view(batch, layers).mean(1)


def targets_of(
    logits: Float[Tensor, "batch queries labels"],
    boxes: Float[Tensor, "batch queries four"],
    labels: Int[Tensor, "batch most"],
    truth: Float[Tensor, "batch most four"],
) -> Int[Tensor, "batch queries"]:
    """Return the label that each query is to find; the number behind the last one is no thing.

    Where nobody knows what is in an image, its first label is `UNKNOWN` and so are all of these.
    """
    targets = torch.full(logits.shape[:2], logits.shape[2] - 1, device=logits.device)
    for row, wanted in enumerate(targets):
        if len(labels[row]) and labels[row, 0] == UNKNOWN:
            wanted[:] = UNKNOWN
            continue
        there = labels[row] >= 0
        queries, things = match(logits[row], boxes[row], labels[row, there], truth[row, there])
        wanted[queries] = labels[row, there][things]
    return targets


def rows_of(
    said: Detected,
    labels: Int[Tensor, "batch most"],
    truth: Float[Tensor, "batch most four"],
) -> Rows:
    """Return the last logits of every query, and the label that it is to find.

    Args:
        said: Of the network.
        labels: Of the things of each image.
        truth: Their boxes.
    """
    logits = said.logits[-1]
    example = torch.arange(len(labels), device=labels.device)
    return Rows(
        outputs=logits.flatten(0, 1),
        truth=targets_of(logits, said.boxes[-1], labels, truth).flatten(),
        example=example.repeat_interleave(logits.shape[1]),
    )


def generalised_overlaps(
    first: Float[Tensor, "n four"], second: Float[Tensor, "m four"]
) -> Float[Tensor, "n m"]:
    """Return the generalised intersection over union of each pair of boxes.

    `iou - (hull - union) / hull`, with the smallest box around both as the hull: below 0, and lower
    the farther apart, where boxes do not meet.

    Args:
        first: Centre, width, height.
        second: The same.

    Source:
        Rezatofighi et al. 2019, arXiv:1902.09630, section 3, algorithm 1.
    """
    low, high = (
        [each[:, :2] + sign * each[:, 2:] / 2 for each in (first, second)] for sign in (-1, 1)
    )
    inner = torch.minimum(high[0][:, None], high[1]) - torch.maximum(low[0][:, None], low[1])
    outer = torch.maximum(high[0][:, None], high[1]) - torch.minimum(low[0][:, None], low[1])
    both, hull = inner.clamp(min=0).prod(-1), outer.prod(-1).clamp(min=1e-12)
    union = first[:, 2:].prod(-1)[:, None] + second[:, 2:].prod(-1) - both
    return both / union.clamp(min=1e-12) - (hull - union) / hull


def _loss(
    logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor, nothing: float
) -> Float[Tensor, ""]:
    """Of one image and one layer."""
    there = labels >= 0
    queries, things = match(logits, boxes, labels[there], truth[there])
    wanted = torch.full((len(logits),), logits.shape[1] - 1, device=logits.device)
    wanted[queries] = labels[there][things]
    weights = torch.ones(logits.shape[1], device=logits.device)
    weights[-1] = nothing
    loss = cross_entropy(logits.float(), wanted, weight=weights, reduction="sum")
    if not len(queries):
        return loss
    found, true = boxes[queries], truth[there][things]
    away = (found - true).abs().sum()
    apart = (1 - generalised_overlaps(found, true).diagonal()).sum()
    return (loss + SIDES * away + OVERLAP * apart) / len(queries)


def _optimize() -> Any:
    try:
        return importlib.import_module("scipy.optimize")
    except ImportError:
        raise MissingExtraError(
            "matching queries with things needs the package scipy, got none. "
            "Run: pip install 'heedful[images]'"
        ) from None
