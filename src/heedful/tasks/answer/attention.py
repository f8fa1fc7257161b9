"""What answers looked at: sentences by hop, words of a question; and how much of it on facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heedful.data.stories import Question
from heedful.tasks.answer.encoding import Memories, typed
from heedful.tasks.base import device_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.tasks.answer.task import Answer

Weights = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class OnFacts:
    """How much a memory network looks at the sentences that answers follow from.

    Args:
        weight: The share of its attention that lies on them, the mean over hops and questions.
        chance: What that is if every sentence gets as much.
        found: The share of them that some hop looks at most.
        questions: With known facts, all of which are read.
    """

    weight: float
    chance: float
    found: float
    questions: int


def attention_on_facts(
    task: "Answer", model: "nn.Module", questions: Sequence[Question]
) -> OnFacts | None:
    """Return how much of its attention lies on marked facts; `None` where there is none to see.

    Args:
        task: Knows how to read questions.
        model: Of the task, a memory network.
        questions: Of which those with known facts are looked at.
    """
    sums, count, marked = [0.0, 0.0, 0.0], 0, 0
    for question in questions:
        first = len(question.story) - getattr(task.config.model, "sentences", 0)
        facts = [fact - max(first, 0) for fact in question.facts]
        if not facts or min(facts) < 0:
            continue
        hops = _hops(task, model, question)
        if hops is None:
            return None
        unique = sorted(set(facts))
        count, marked = count + 1, marked + len(unique)
        sums[0] += hops[:, unique].sum(1).mean().item()
        sums[1] += len(unique) / hops.shape[1]
        sums[2] += len({*hops.argmax(1).tolist()} & {*unique})
    if not count:
        return None
    return OnFacts(
        weight=sums[0] / count,
        chance=sums[1] / count,
        found=sums[2] / marked,
        questions=count,
    )


def looked_at(
    task: "Answer", model: "nn.Module", question: Question
) -> tuple[tuple[str, ...], tuple[str, ...], Weights] | None:
    """Return what was read, what looked, and its weights; `None` where nothing looks."""
    data = task.encode([question])
    if isinstance(data, Memories):
        hops = _hops(task, model, question)
        if hops is None:
            return None
        story = question.story[-int(data.counts[0]) :]
        return story, tuple(f"hop {n + 1}" for n in range(len(hops))), _rows(hops)
    return _words(task, model, question)


def _hops(task: "Answer", model: Any, question: Question) -> "Tensor | None":
    """The weights of each hop for each sentence, the mean over heads."""
    import torch

    from heedful.nn.attention import Attention
    from heedful.probing.probe import probe

    hops: list[Any] = list(getattr(model, "hops", ()))
    if not hops or not all(isinstance(hop, Attention) for hop in hops):
        return None
    sites = [f"hops.{number}" for number in range(len(hops))]
    batch = task.encode([question]).batch([0], device_of(model))
    with torch.inference_mode(), probe(model, sites=sites) as heard:
        task.rows(model, batch)
    return torch.stack([heard.maps(site)[0, :, 0].mean(0) for site in sites])


def _words(
    task: "Answer", model: Any, question: Question
) -> tuple[tuple[str, ...], tuple[str, ...], Weights] | None:
    """How much each word of a question is looked at from each word of the text."""
    import torch

    batch = task.encode([question]).batch([0], device_of(model))
    names = ("text", "lengths", "question", "question_lengths")
    with torch.inference_mode():
        found = model.looked_at(*(batch[name] for name in names))
    if found is None:
        return None
    asked, text = (
        tuple(task.vocabulary.pieces(typed(each))[1:-1])
        for each in (question.question, question.text)
    )
    weights = found[0, : int(batch["lengths"][0]), : len(asked)].T
    return text[: weights.shape[1]], asked, _rows(weights / weights.sum(1, keepdim=True))


def _rows(weights: "Tensor") -> Weights:
    return tuple(tuple(row) for row in weights.tolist())
