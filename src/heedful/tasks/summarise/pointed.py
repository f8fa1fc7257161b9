"""Where each word of a summary points in the text, for pictures."""

from typing import TYPE_CHECKING, Any

from heedful.data.alignment import Alignment
from heedful.data.examples import Example
from heedful.tasks.base import device_of
from heedful.tasks.summarise.pairs import as_read

if TYPE_CHECKING:
    from heedful.tasks.summarise.task import Summarise


def pointed(task: "Summarise", model: Any, example: Example, summary: str) -> Alignment | None:
    """Return the weights of the pointer; of a network without one those of its attention.

    Args:
        task: Knows the tokens.
        model: What has written.
        example: Whose text was read.
        summary: What was written of it.

    Returns:
        `None` where nothing looks at the text, or nothing was written.
    """
    import torch

    if getattr(model, "aligner", model) is None or not summary:
        return None
    lowercase = task.config.tokens.lowercase
    data = task.encode([Example(example.source, summary)])
    source, lengths, target = data.batch([0], device_of(model))
    length = int(data.target.lengths[0])
    with torch.inference_mode():
        weights = model.alignment(source, lengths, target[:, : length - 1])[0]
    end = int(data.source.lengths[0]) - 1
    # row t is the step that wrote token t + 1; markers of beginning and end are not shown
    shown = weights[: length - 2, 1:end].float()
    shown = shown / shown.sum(-1, keepdim=True).clamp(min=1e-30)
    return Alignment(
        source=tuple(task.vocabulary.pieces(as_read(example.source, lowercase))[1:end]),
        target=tuple(task.vocabulary.pieces(as_read(summary, lowercase))[1:-1]),
        weights=tuple(map(tuple, shown.tolist())),
        title=summary,
    )
