"""How sentences are learned and written, and where each of their words looked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.data.tokens import BOS, EOS, PAD, Vocabulary
from heedful.models.decoding import Limits, beam, greedy
from heedful.nn.attention import Attention
from heedful.tasks.base import device_of
from heedful.tasks.columns import Columns
from heedful.tasks.describe.config import Decode


@dataclass(frozen=True, kw_only=True)
class Description:
    """A sentence written by a model, and what should be said about it.

    Args:
        text: The sentence.
        written: Tokens of it.
        cut: The search reached `decode.max_length`, so the end is missing.
        named: Words of the true sentence that name something of an object whose place is known.
        elsewhere: Those of them that looked most at a place where that object is not; all, where
            the model has no attention.
    """

    text: str
    written: tuple[int, ...]
    cut: bool
    named: int = 0
    elsewhere: int = 0


def pixels_of(batch: dict[str, Tensor]) -> Float[Tensor, "batch channels rows columns"]:
    """Return the images with values from -1 to 1."""
    return batch["images"].permute(0, 3, 1, 2) / 127.5 - 1


def logits_of(
    model: nn.Module, batch: dict[str, Tensor]
) -> tuple[Float[Tensor, "batch queries target_size"], Int[Tensor, "batch queries"]]:
    """Return the logits of every token given those before, and the true tokens."""
    target = batch["caption"]
    return model(pixels_of(batch), target[:, :-1]), target[:, 1:]


def cross_entropy(
    model: nn.Module, batch: dict[str, Tensor], *, smoothing: float = 0.0
) -> tuple[Float[Tensor, ""], int, int]:
    """Return the sum over tokens of `-log p(target)`, how many are right, and how many there are.

    Args:
        model: What describes.
        batch: Images and sentences.
        smoothing: Probability taken from the true token.
    """
    logits, truth = logits_of(model, batch)
    total = F.cross_entropy(
        logits.flatten(0, 1).float(),
        truth.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
    here = truth != PAD
    return total, int(((logits.argmax(-1) == truth) & here).sum()), int(here.sum())


@torch.inference_mode()
def describe(
    model: Any, data: Columns, vocabulary: Vocabulary, decode: Decode
) -> list[Description]:
    """Write a sentence for every image.

    Args:
        model: What describes, in evaluation mode.
        data: Images, and sentences where they are known.
        vocabulary: Of the sentences.
        decode: How they are searched.
    """
    limits = Limits(bos=BOS, eos=EOS, max_length=decode.max_length)
    found: list[Description] = []
    for start in range(0, len(data), decode.batch):
        rows = range(start, min(start + decode.batch, len(data)))
        batch = data.batch(rows, device_of(model))
        images, lengths = pixels_of(batch), batch["caption_lengths"]
        if decode.beam == 1:
            written = greedy(model, images, lengths, limits=limits)
        else:
            penalty = decode.length_penalty
            written = beam(
                model, images, lengths, width=decode.beam, length_penalty=penalty, limits=limits
            )
        elsewhere, named = _looks(model, batch)
        for row, text in enumerate(vocabulary.decode(written)):
            found.append(
                Description(
                    text=text.strip(),
                    written=tuple(written[row]),
                    cut=len(written[row]) >= decode.max_length,
                    named=named[row],
                    elsewhere=elsewhere[row],
                )
            )
    return found


def looks_at_cells(model: Any) -> bool:
    """Say whether any word still looks at the cells of the image."""
    return model.attention and any(
        isinstance(layer.cross_attention, Attention) for layer in model.decoder
    )


def look(
    model: Any, image: NDArray[np.uint8], said: Description, vocabulary: Vocabulary, *, title: str
) -> ImageAttention | None:
    """Return an image and where each token of its sentence looked; `None` where none looks.

    Args:
        model: What describes, in evaluation mode.
        image: `(rows, columns, channels)`.
        said: What was written of it.
        vocabulary: Of the sentence.
        title: What the picture is of.
    """
    if not looks_at_cells(model):
        return None
    batch = {"images": torch.from_numpy(image)[None].to(device_of(model))}
    target = torch.tensor([[BOS, *said.written]], device=device_of(model))
    with torch.inference_mode():
        weights = model.alignment(pixels_of(batch), target)[0].float()
    maps = [
        AttentionMap.of(row.view(model.side, model.side).numpy(), word=piece.strip())
        for piece, row in zip(vocabulary.spelled(said.written), weights.cpu(), strict=False)
    ]
    return ImageAttention.of(image, maps, title=title)


def _looks(model: Any, batch: dict[str, Tensor]) -> tuple[list[int], list[int]]:
    """Of each true sentence, how many words looked most elsewhere than at what they name."""
    named = batch.get("named")
    if named is None or not named.any():
        return [0] * len(batch["images"]), [0] * len(batch["images"])
    naming = named.any(-1)
    counts = naming.sum(1)
    if not looks_at_cells(model):
        return counts.tolist(), counts.tolist()
    target = batch["caption"]
    weights = model.alignment(pixels_of(batch), target[:, :-1])
    best = weights.argmax(-1)[:, : naming.shape[1], None]
    naming, named = naming[:, : best.shape[1]], named[:, : best.shape[1]]
    right = named.gather(2, best)[..., 0] & naming
    return (counts - right.sum(1)).tolist(), counts.tolist()
