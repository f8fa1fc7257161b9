"""Why a question has its answer: sentences of its story, or words of its text, are removed."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heedful.data.stories import Question as Asked
from heedful.data.tokens import BOS, EOS, UNKNOWN
from heedful.explaining.question import ANSWER, SOURCE, Question, Route, Step
from heedful.explaining.routes import encoder
from heedful.explaining.scores import log_odds
from heedful.explaining.texts import words_of
from heedful.models.span_reader import best_spans
from heedful.probing.sites import find_sites
from heedful.tasks.answer.config import MemoryModel
from heedful.tasks.answer.encoding import Batch, typed
from heedful.tasks.base import device_of

if TYPE_CHECKING:
    from heedful.tasks.answer.task import Answer


def why_answered(task: "Answer", model: nn.Module, asked: Asked, answer: str) -> Question:
    """Ask why a model gave an answer.

    A memory network is asked about the sentences of the story; the others stay as long ago as they
    were. A reader of spans is asked why its answer begins with one word of the text and ends with
    another, and a word that is removed is read as one that nobody knows.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        asked: The question and its story.
        answer: That was given.
    """
    title = f"{asked.question} → {answer}"
    if isinstance(task.config.model, MemoryModel):
        return _of_sentences(task, model, asked, answer, title)
    return _of_words(task, model, asked, title)


def _of_sentences(
    task: "Answer", model: nn.Module, asked: Asked, answer: str, title: str
) -> Question:
    data = task.encode([asked])
    story = asked.story[-task.config.model.sentences :]
    label = task.answers[answer]

    def inputs(kept: Tensor) -> Batch:
        copies = len(kept)
        batch = data.batch([0], kept.device)
        chosen = torch.arange(len(story), device=kept.device).expand(copies, -1)[kept]
        parts = {name: batch[name][chosen] for name in ("sentences", "lengths", "ago")}
        whole = {
            name: batch[name].expand(copies, *batch[name].shape[1:])
            for name in ("question", "question_lengths", "truth")
        }
        return {**parts, **whole, "counts": kept.sum(1)}

    def scores(model: nn.Module, batch: Batch) -> Tensor:
        logits = task.rows(model, batch).outputs
        return log_odds(logits, torch.full_like(batch["truth"], label))[:, None]

    hops = [site.name for site in find_sites(model)[0] if site.name.startswith("hops")]
    steps = tuple(Step(site=name, queries=ANSWER, keys=SOURCE) for name in hops)
    return Question(
        pieces=story,
        targets=(answer,),
        inputs=inputs,
        scores=scores,
        removal="left out of the story",
        route=Route(steps=steps, places={SOURCE: tuple(range(len(story)))}) if steps else None,
        title=title,
    )


def _of_words(task: "Answer", model: Any, asked: Asked, title: str) -> Question:
    batch = task.encode([asked]).batch([0], device_of(model))
    length = int(batch["lengths"][0])
    tokens, pieces = batch["text"][0, :length], task.vocabulary.pieces(typed(asked.text))[1:-1]
    # without the markers that `words_of` expects: texts are read without
    words = words_of((BOS, *tokens.tolist(), EOS), ("", *pieces[:length], ""))
    places = words.places[1:-1]
    with torch.inference_mode():
        said = task.rows(model, batch).outputs.float()
    span, _ = best_spans(*said.chunk(2), longest=task.config.model.longest_answer)[0]

    def inputs(kept: Tensor) -> Batch:
        there = kept[:, torch.tensor(places, device=kept.device)]
        text = torch.where(there, tokens.to(kept.device), UNKNOWN)
        rest = {
            name: batch[name].to(kept.device).expand(len(kept), *batch[name].shape[1:])
            for name in ("lengths", "question", "question_lengths", "spans")
        }
        return {"text": text, **rest}

    def scores(model: nn.Module, batch: Batch) -> Tensor:
        ends = task.rows(model, batch).outputs.unflatten(0, (2, -1)).transpose(0, 1)
        return log_odds(ends, torch.tensor(span, device=ends.device).expand(len(ends), -1))

    return Question(
        pieces=words.words,
        targets=tuple(
            f"{where}: {words.words[places[place]]}"
            for where, place in zip(("first", "last"), span, strict=True)
        ),
        inputs=inputs,
        scores=scores,
        removal="read as a word that nobody knows",
        route=encoder(model, places, sites="encoder", rows=span),
        embedding="embedding",
        embedded=places,
        title=title,
    )
