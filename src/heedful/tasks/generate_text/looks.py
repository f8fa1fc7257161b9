"""Where each new piece of a text looked, for pictures."""

from collections.abc import Sequence
from typing import Any

from heedful.data.alignment import Alignment
from heedful.data.tokens import Vocabulary
from heedful.tasks.base import device_of

SHOWN = 40  # pieces of the prompt, and of what was written


def looked(
    model: Any, vocabulary: Vocabulary, prompt: str, written: Sequence[int], *, shown: int = SHOWN
) -> Alignment | None:
    """Return the mean weights over all layers and heads, of near pieces.

    A row is the step that wrote its piece: it looked from the piece before. Each row is divided by
    its sum over what is shown.

    Args:
        model: What has written.
        vocabulary: Of its tokens.
        prompt: What was gone on with.
        written: The tokens that were written.
        shown: Pieces of either that are shown at most.

    Returns:
        `None` where no layer of the model looks back.
    """
    import torch

    from heedful.models.language_model import CausalTransformer
    from heedful.nn.attention import Attention
    from heedful.probing.probe import probe

    if not isinstance(model, CausalTransformer):
        return None
    names = [
        f"layers.{number}.self_attention"
        for number, layer in enumerate(model.layers)
        if isinstance(layer.self_attention, Attention)
    ]
    if not names:
        return None
    typed = list(zip(vocabulary.pieces(prompt), vocabulary.encode([prompt])[0], strict=True))
    before = typed[1:-1][-model.longest :]
    behind = list(zip(vocabulary.spelled(written), written, strict=True))[:shown]
    pieces, tokens = zip(*before, *behind, strict=True)
    read = torch.tensor([tokens[:-1]], device=device_of(model))
    with torch.inference_mode(), probe(model, sites=names) as heard:
        model(read)
    maps = torch.stack([heard.maps(name)[0].float().mean(0) for name in names]).mean(0)
    first = max(len(before) - shown, 0)
    weights = maps[len(before) - 1 :, first:]
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
    return Alignment(
        source=tuple(pieces[first:-1]),
        target=tuple(pieces[len(before) :]),
        weights=tuple(map(tuple, weights.tolist())),
        title=f"{prompt} → {''.join(vocabulary.spelled(written))}",
    )
