"""What a recogniser learns from, and what it says row by row: of states, and of tokens."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from heedful.data.tokens import EOS, PAD
from heedful.metrics.rows import UNKNOWN
from heedful.models.speech_recogniser import ctc_loss
from heedful.tasks.parts import Batch, Rows


def joint_loss(
    model: Any, batch: Batch, *, share: float, smoothing: float = 0.0
) -> tuple[Tensor, int]:
    """Return `share` of CTC's loss and the rest of the decoder's, summed over sounds.

    Args:
        model: A `SpeechRecogniser`.
        batch: Features and texts.
        share: How much of it is CTC's.
        smoothing: Of the decoder's labels.

    Returns:
        The loss, and how many tokens the decoder writes, ends included.

    Source:
        Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech
        recognition", IEEE Journal of Selected Topics in Signal Processing 11, section III.
    """
    texts = batch["text"]
    states, lengths, written = model.both(
        batch["features"], batch["features_lengths"], texts[:, :-1]
    )
    count = int((texts[:, 1:] != PAD).sum())
    parts: list[Tensor] = []
    if share > 0:
        plain = texts[:, 1:].masked_fill(texts[:, 1:] == EOS, PAD)
        parts.append(share * ctc_loss(states, lengths, plain, batch["text_lengths"] - 2))
    if share < 1:
        loss = cross_entropy(
            written.flatten(0, 1).float(),
            texts[:, 1:].flatten(),
            ignore_index=PAD,
            reduction="sum",
            label_smoothing=smoothing,
        )
        parts.append((1 - share) * loss)
    return torch.stack(parts).sum(), count


def both_rows(model: Any, batch: Batch) -> Rows:
    """Return the decoder's logits of each token with its truth, and CTC's of each state.

    Which token is heard in a state nobody says: the truth of those rows is not known.
    """
    texts = batch["text"]
    states, lengths, written = model.both(
        batch["features"], batch["features_lengths"], texts[:, :-1]
    )
    here = texts[:, 1:] != PAD
    inside = torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]
    return Rows(
        outputs=torch.cat([written[here], states[inside]]),
        truth=truths(batch, states=lengths),
        example=torch.cat([here.nonzero()[:, 0], inside.nonzero()[:, 0]]),
    )


def truths(batch: Batch, *, states: Tensor) -> Tensor:
    """Return the truth of `both_rows`.

    Args:
        batch: Features and texts.
        states: How many there are of each sound.
    """
    written = batch["text"][:, 1:]
    unknown = torch.full((int(states.sum()),), UNKNOWN, device=written.device)
    return torch.cat([written[written != PAD], unknown])
