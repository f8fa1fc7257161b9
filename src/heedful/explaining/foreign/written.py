"""Why a model writes what it writes: behind a prompt, or while it reads a source."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.explaining.foreign._model import embedding_of
from heedful.explaining.foreign.label import Ask, ask
from heedful.explaining.foreign.tokens import Copies, Tokens
from heedful.explaining.question import NOWHERE, Question
from heedful.explaining.routes import encoder, encoder_decoder
from heedful.explaining.scores import log_odds

NUMBERS = 2**26  # logits that are computed together at most, where no gradient is wanted

Continue = Callable[[nn.Module, Copies, Tensor], Tensor]


def ask_on(model: nn.Module, copies: Copies, written: Tensor) -> Tensor:
    """Return the logits of a model of transformers that reads a text and writes another."""
    there = copies.there.long()
    return model(
        input_ids=copies.tokens, attention_mask=there, decoder_input_ids=written, use_cache=False
    ).logits


def why_continued(
    model: nn.Module,
    prompt: Tokens,
    written: Sequence[int],
    names: Sequence[str],
    *,
    ask: Ask = ask,
    embedding: str | None = None,
) -> Question:
    """Ask why a causal language model continues a prompt by each of these tokens.

    Args:
        model: Which looks back only.
        prompt: What it reads; its pieces are what each token may owe something to.
        written: The tokens behind it.
        names: The text of each.
        ask: From the model and copies to logits `(copies, length, vocabulary)`.
        embedding: As in `why_label`.

    Raises:
        ConfigError: There is not a name for each token.
    """
    _check_names(written, names)
    places = (*prompt.places, *[NOWHERE] * (len(written) - 1))

    def scores(model: nn.Module, copies: Copies) -> Tensor:
        def some(part: slice) -> Tensor:
            here = Copies(copies.tokens[part], copies.there[part])
            logits = ask(model, here)
            # the last tokens of each copy, wherever it ends, and one before what was written
            rows = here.lengths[:, None] + torch.arange(-len(written), 0, device=logits.device)
            logits = logits.gather(1, rows[..., None].expand(-1, -1, logits.shape[2]))
            return _odds(logits, written)

        return _in_parts(model, copies, some)

    return Question(
        pieces=prompt.pieces,
        targets=tuple(names),
        inputs=partial(prompt.kept, behind=written[:-1]),
        scores=scores,
        removal=prompt.removal,
        route=encoder(model, places, rows=range(len(prompt.numbers) - 1, len(places))),
        embedding=embedding_of(model, embedding),
        embedded=places,
    )


def why_written(
    model: nn.Module,
    source: Tokens,
    written: Sequence[int],
    names: Sequence[str],
    *,
    start: int | None = None,
    ask: Continue = ask_on,
    embedding: str | None = None,
) -> Question:
    """Ask why an encoder-decoder writes each of these tokens when it reads a source.

    Args:
        model: Its parts are called `encoder` and `decoder`.
        source: What it reads.
        written: What it writes.
        names: The text of each.
        start: The token that writing begins with; `None` means: what a model of transformers says.
        ask: From the model, copies of the source and what was written before `(copies, length)` to
            logits `(copies, length, vocabulary)`.
        embedding: As in `why_label`.

    Raises:
        ConfigError: There is not a name for each token, or nothing says what writing begins with.
    """
    _check_names(written, names)
    start = (
        getattr(getattr(model, "config", None), "decoder_start_token_id", None)
        if (start is None)
        else start
    )
    if start is None:
        raise ConfigError("start must be the token that writing begins with, got None")
    before = torch.tensor([start, *written[:-1]])

    def scores(model: nn.Module, copies: Copies) -> Tensor:
        def some(part: slice) -> Tensor:
            here = Copies(copies.tokens[part], copies.there[part])
            rows = before.to(here.tokens.device).expand(len(here.tokens), -1)
            return _odds(ask(model, here, rows), written)

        return _in_parts(model, copies, some)

    return Question(
        pieces=source.pieces,
        targets=tuple(names),
        inputs=source.kept,
        scores=scores,
        removal=source.removal,
        route=encoder_decoder(
            model,
            source.places,
            rows=range(len(written)),
            encoder=_part(model, "encoder"),
            decoder=_part(model, "decoder"),
        ),
        embedding=embedding_of(model, embedding),
        embedded=source.places,
    )


def _odds(logits: Tensor, written: Sequence[int]) -> Tensor:
    truth = torch.tensor(written, device=logits.device)
    return log_odds(logits, truth.expand(len(logits), -1))


def _in_parts(model: nn.Module, copies: Copies, some: Callable[[slice], Tensor]) -> Tensor:
    """Some copies after others: logits of a whole vocabulary for each token are many."""
    config: Any = getattr(model, "config", None)
    vocabulary = getattr(config, "vocab_size", None) or 1
    count, length = copies.tokens.shape
    at_once = count if torch.is_grad_enabled() else max(1, NUMBERS // (length * vocabulary))
    return torch.cat([some(slice(start, start + at_once)) for start in range(0, count, at_once)])


def _check_names(written: Sequence[int], names: Sequence[str]) -> None:
    if not written or len(names) != len(written):
        raise ConfigError(
            f"names must be as many as the tokens written, got {len(names)} of {len(written)}"
        )


def _part(model: nn.Module, part: str) -> str:
    """The name of the first module that is called so."""
    names = (name for name, _ in model.named_modules() if name.split(".")[-1] == part)
    return next(names, part)
