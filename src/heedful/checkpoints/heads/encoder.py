"""Encoders: how near their vectors stay to those of the original; nothing has to be labelled."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads.base import Group, Head, batches_of, called
from heedful.checkpoints.inputs.base import Inputs
from heedful.errors import UnsupportedError
from heedful.metrics.metric import Floats, Metric, SumMetric, per_example

POOLING = "1_Pooling/config.json"  # how sentence-transformers pools
WAYS = {"cls": "first", "lasttoken": "last", "max": "max", "mean": "mean"}
# what folders hold from before sentence-transformers had `pooling_mode`: a switch for each
SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


class EncoderHead(Head):
    """A vector for each example: its states, pooled as the folder says, by their mean where it
    does not.

    Args:
        checkpoint: Opened.
        inputs: How it reads examples.

    Raises:
        UnsupportedError: It has a decoder, but no head that writes; or the folder pools otherwise.
    """

    def __init__(self, checkpoint: Checkpoint, inputs: Inputs) -> None:
        super().__init__(checkpoint, inputs)
        if getattr(checkpoint.config, "is_encoder_decoder", False):
            raise UnsupportedError(
                f"an encoder with a decoder must have a head that writes, got "
                f"{checkpoint.architecture}"
            )
        self.pooling = pooling_of(checkpoint.read(POOLING))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The cosine to the original's vector."""
        return (SumMetric(name="cosine", of=cosines),)

    def answers(self, model: nn.Module, groups: Sequence[Group], metric: str) -> list[Any]:
        """Return a vector for each example."""
        found = [self.vectors(model, batch) for batch in batches_of(self, model, groups)]
        return [row for vectors in found for row in vectors.cpu()]

    def vectors(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Return a vector of length 1 for each example of a batch."""
        states = called(model, batch).last_hidden_state.float()
        states = states.reshape(len(states), -1, states.shape[-1])
        mask = batch.get("attention_mask")
        if mask is None or mask.shape != states.shape[:2]:  # of another rate, or nothing padded
            mask = torch.ones(states.shape[:2], device=states.device)
        return normalize(pooled(states, mask.bool(), self.pooling), dim=-1)


def pooling_of(told: dict[str, Any]) -> str:
    """Return how a folder pools: `first`, `last`, `max` or `mean`, the last where nothing is said.

    Args:
        told: The config of sentence-transformers' pooling.

    Raises:
        UnsupportedError: It pools otherwise, or in several ways at once.
    """
    modes = told.get("pooling_mode") or [mode for name, mode in SWITCHES.items() if told.get(name)]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if len(modes) > 1 or modes[0] not in WAYS:
        raise UnsupportedError(
            f"{POOLING} must name one of {', '.join(WAYS)}, got {', '.join(map(str, modes))}"
        )
    return WAYS[modes[0]]


def pooled(states: Tensor, mask: Tensor, way: str) -> Tensor:
    """Return one vector for each text.

    Args:
        states: `(batch, length, width)`.
        mask: Where a text is, `(batch, length)`.
        way: `first`, `last`, `max` or `mean` of the places where it is.
    """
    inside = mask.unsqueeze(-1)
    if way == "max":
        return states.masked_fill(~inside, -torch.inf).amax(1)
    if way == "mean":
        return (states * inside).sum(1) / inside.sum(1)
    place = torch.arange(mask.shape[1], device=mask.device)
    chosen = place.masked_fill(~mask, -1).amax(1) if way == "last" else mask.int().argmax(1)
    return states[torch.arange(len(states), device=states.device), chosen]


def cosines(answers: Sequence[Any], truths: Sequence[Any]) -> Floats:
    """Return the cosine of each vector to the true one, both of length 1."""
    return per_example([float(a @ b) for a, b in zip(answers, truths, strict=True)])
