"""Why a model gives a text a label, or the vector that it gives."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.explaining.foreign._model import embedding_of, whole
from heedful.explaining.foreign.tokens import Copies, Tokens
from heedful.explaining.looks import differentiable
from heedful.explaining.question import Question, Route, Step
from heedful.explaining.routes import crosses, encoder
from heedful.explaining.scores import log_odds
from heedful.probing.probe import probe

Ask = Callable[[nn.Module, Copies], Tensor]


def ask(model: nn.Module, copies: Copies) -> Tensor:
    """Return the logits of a model of transformers."""
    return model(input_ids=copies.tokens, attention_mask=copies.there.long()).logits


def mean_state(model: nn.Module, copies: Copies) -> Tensor:
    """Return the mean of the last hidden states of an encoder of transformers."""
    states = model(input_ids=copies.tokens, attention_mask=copies.there.long()).last_hidden_state
    there = copies.there[..., None].to(states.dtype)
    return (states * there).sum(1) / there.sum(1)


def why_label(
    model: nn.Module, text: Tokens, label: int, *, ask: Ask = ask, embedding: str | None = None
) -> Question:
    """Ask why a model gives a text this label.

    Args:
        model: A classifier.
        text: What it reads.
        label: Its number.
        ask: From the model and copies of the text to logits `(copies, labels)`; of a single label
            the logit itself counts. By default as models of transformers are asked.
        embedding: The module that embeds tokens; `None` means: what a model of transformers says.

    Raises:
        ConfigError: There is no such label.
        UnsupportedError: A model of transformers has no number for padding.

    Cost:
        A forward and a backward pass, to see where the answer is read.
    """
    config: Any = getattr(model, "config", None)
    if config is not None and getattr(config, "pad_token_id", 0) is None:
        raise UnsupportedError(
            "model.config.pad_token_id must be set for copies of a text, got None"
        )

    def scores(model: nn.Module, copies: Copies) -> Tensor:
        logits = ask(model, copies)
        if not 0 <= label < logits.shape[1]:
            raise ConfigError(f"label must be in 0 to {logits.shape[1] - 1}, got {label}")
        if logits.shape[1] == 1:
            return logits
        return log_odds(logits, torch.full((len(logits),), label, device=logits.device))[:, None]

    names: Any = getattr(config, "id2label", None) or {}
    return _of_encoder(model, text, scores, str(names.get(label, label)), embedding)


def why_similar(
    model: nn.Module,
    text: Tokens,
    direction: Tensor | None = None,
    *,
    pooled: Ask = mean_state,
    embedding: str | None = None,
) -> Question:
    """Ask why a model describes a text as it does, by a vector.

    The score is how far that vector reaches in a direction. The cosine with the text's own vector
    would not do: it is largest there, and has no slope.

    Args:
        model: An encoder.
        text: What it reads.
        direction: `(width,)`, such as the vector of another text; `None` means its own.
        pooled: From the model and copies of the text to vectors `(copies, width)`.
        embedding: As in `why_label`.

    Raises:
        ConfigError: The direction has no length, or is of another width.

    Cost:
        As `why_label`, and one pass more.
    """
    with differentiable(model, on=False):
        own = pooled(model, whole(model, text))[0]
    along = own if direction is None else direction.to(own)
    if along.shape != own.shape or not along.any():
        raise ConfigError(
            f"direction must be {len(own)} numbers that are not all 0, got {tuple(along.shape)}"
        )
    along = along / along.norm()

    def scores(model: nn.Module, copies: Copies) -> Tensor:
        return (pooled(model, copies) @ along)[:, None]

    return _of_encoder(model, text, scores, "similarity", embedding)


def _of_encoder(
    model: nn.Module,
    text: Tokens,
    scores: Callable[[nn.Module, Copies], Tensor],
    target: str,
    embedding: str | None,
) -> Question:
    with differentiable(model, on=False):
        scores(model, whole(model, text))  # says at once what is wrong with the question
    route = encoder(model, text.places)
    if route is not None and any(crosses(step.site) for step in route.steps):
        route = None  # a decoder that reads the text again is no layer of an encoder
    return Question(
        pieces=text.pieces,
        targets=(target,),
        inputs=text.kept,
        scores=scores,
        removal=text.removal,
        route=None if route is None else _read(model, text, scores, route),
        embedding=embedding_of(model, embedding),
        embedded=text.places,
    )


def _read(
    model: nn.Module, text: Tokens, scores: Callable[[nn.Module, Copies], Tensor], route: Route
) -> Route:
    """Say where the answer is read: behind the last attention no place knows of another.

    Sites that are called again are shared by layers, each of which is a call.
    """
    sites = [step.site for step in route.steps]
    names = [site.replace("[", "[[]") for site in sites]  # they are no patterns
    with differentiable(model) as parameters:
        with _in_turn(model, sites) as called, probe(model, sites=names, gradients=True) as heard:
            total = scores(model, whole(model, text)).sum()
        torch.autograd.grad(total, parameters, allow_unused=True)
    if len(called) > len(set(called)):
        turns: Counter[str] = Counter()
        steps: list[Step] = []
        for site in called:
            steps.append(Step(site=site, call=turns[site]))
            turns[site] += 1
        route = replace(route, steps=tuple(steps))
    last = route.steps[-1].site
    if last in heard.unobservable:
        return route
    places = sum(slope.abs() for slope in heard.calls(last)[-1].gradients)
    if not isinstance(places, Tensor):
        return route
    axis = 2 if places.ndim == 4 else 1
    others = [each for each in range(places.ndim) if each != axis]
    rows = places.sum(others).nonzero()[:, 0].tolist()
    if len(rows) != 1:
        return route
    return replace(route, rows=tuple(rows))


@contextmanager
def _in_turn(model: nn.Module, sites: Sequence[str]) -> Generator[list[str]]:
    """Note which sites are called, one after the other."""
    called: list[str] = []

    def note(site: str) -> Callable[..., None]:
        return lambda *_: called.append(site)

    hooks = [model.get_submodule(site).register_forward_pre_hook(note(site)) for site in sites]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()
