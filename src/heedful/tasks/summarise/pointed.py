"""Where each word of a summary points in the text, for pictures."""

from typing import TYPE_CHECKING, Any

from heedful.data.alignment import Alignment
from heedful.data.examples import Example
from heedful.data.tokens import BOS
from heedful.tasks.base import device_of
from heedful.tasks.summarise.pairs import as_read, spelled

if TYPE_CHECKING:
    from heedful.tasks.summarise.task import Summarise, Summary


def pointed(task: "Summarise", model: Any, text: str, summary: "Summary") -> Alignment | None:
    """Return the weights of the pointer; of a network without one those of its attention.

    Args:
        task: Knows the tokens.
        model: What has written.
        text: That was read.
        summary: What was written of it.

    Returns:
        `None` where nothing looks at the text, or nothing was written.
    """
    import torch

    if getattr(model, "aligner", model) is None or not summary.written:
        return None
    device = device_of(model)
    data = task.encode([Example(text, "")])
    source, lengths, _ = data.batch([0], device)
    target = torch.tensor([[BOS, *summary.written]], device=device)
    with torch.inference_mode():
        weights = model.alignment(source, lengths, target)[0]
    end = int(data.source.lengths[0]) - 1
    # row t is the step that wrote token t + 1; markers of beginning and end are not shown
    shown = weights[: len(summary.written), 1:end].float()
    shown = shown / shown.sum(-1, keepdim=True).clamp(min=1e-30)
    pieces = task.vocabulary.pieces(as_read(text, task.config.tokens.lowercase))
    return Alignment(
        source=tuple(pieces[1:end]),
        target=tuple(spelled(task.vocabulary, summary.written, data.words[0])),
        weights=tuple(map(tuple, shown.tolist())),
        title=summary.text,
    )
