"""Why a product has its class: the words of its reviews, and the reviews without some of them."""

import itertools

import numpy as np
from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.explaining.question import ANSWER, SOURCE, Question, Route, Step
from heedful.explaining.scores import label_odds
from heedful.explaining.texts import REMOVAL, Words, joined, words_of
from heedful.metrics.rows import UNKNOWN
from heedful.probing.sites import find_sites
from heedful.tasks.rate_product.products import Batch, Product, Products
from heedful.tasks.rate_product.task import BETWEEN, RateProduct, Rating

REVIEWS = "reviews"


def why_rated(task: RateProduct, model: nn.Module, example: Product, answer: Rating) -> Question:
    """Ask why a product has its class.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: With its reviews.
        answer: Whose class is asked for.
    """
    settings = task.config.tokens
    texts = [_words(task, text) for text in example.reviews[: settings.max_reviews]]
    words, places = joined(texts)
    ends = list(itertools.accumulate(len(text.words) for text in texts))
    label = list(task.scale.values).index(answer.label)

    def inputs(kept: Tensor) -> Batch:
        parts = [
            kept[:, end - len(text.words) : end] for text, end in zip(texts, ends, strict=True)
        ]
        rows = [text.kept(part).lists() for text, part in zip(texts, parts, strict=True)]
        copies = len(kept)
        return Products(
            Ragged.pack([row[copy] for copy in range(copies) for row in rows]),
            np.full(copies, len(texts), np.int64),
            task.ngrams,
            np.full(copies, UNKNOWN, np.int64),
            np.full(copies, np.nan, np.float32),
            longest=settings.max_length,
        ).batch(range(copies), kept.device)

    def scores(model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch.tokens, batch.ngrams, batch.lengths, batch.counts)
        return label_odds(logits, label)

    return Question(
        pieces=words,
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=_route(model, texts, places),
        title=f"{BETWEEN.join(example.reviews[: len(texts)])} → {answer.label}",
    )


def _words(task: RateProduct, text: str) -> Words:
    text = task.typed(text)
    tokens = Ragged.pack(task.vocabulary.encode([text])).cut(task.config.tokens.max_length)
    ids, pieces = tokens.flat.tolist(), task.vocabulary.pieces(text)
    return words_of(ids, [*pieces[: len(ids) - 1], pieces[-1]])


def _route(model: nn.Module, texts: list[Words], places: tuple[int, ...]) -> Route | None:
    """Words of each review, pooled to reviews, pooled to the product."""
    names = [site.name for site in find_sites(model)[0]]
    if not {"words", "texts"} <= {*names}:
        return None
    starts = list(itertools.accumulate((len(text.places) for text in texts), initial=0))
    tokens = tuple(tuple(range(*pair)) for pair in itertools.pairwise(starts))
    steps = [
        Step(site=name, query_places=tokens, key_places=tokens)
        for name in names
        if name.startswith("encoder")
    ]
    steps.append(
        Step(
            site="words",
            queries=REVIEWS,
            residual=False,
            query_places=tuple((number,) for number in range(len(texts))),
            key_places=tokens,
        )
    )
    steps.append(Step(site="texts", queries=ANSWER, keys=REVIEWS, residual=False))
    return Route(steps=tuple(steps), places={SOURCE: places})
